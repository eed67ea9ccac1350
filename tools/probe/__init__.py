"""The model that `tools/results.py` runs, and what is told of its results."""
