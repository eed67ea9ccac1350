"""What runs inside a model's environment: numpy alone, Python 3.8 and later."""
