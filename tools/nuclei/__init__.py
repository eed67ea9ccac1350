"""What `train_nuclei.py` is made of: `data` (crops), `network` (U-Net, ONNX), `score` (F1, reach)."""
