"""What `train_nuclei.py` is made of: crops (`data`), U-Net (`network`), figures (`score`)."""
