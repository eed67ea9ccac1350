"""One crop with several values of a model's parameters, side by side."""
