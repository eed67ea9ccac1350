"""What `tools/house.py` measures, each by a function that reads and starts nothing."""
