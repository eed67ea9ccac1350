"""The loop around a model that runs in its own interpreter."""
