"""From an image to a model's tile: channels, colour, stain, resolution, intensity."""
