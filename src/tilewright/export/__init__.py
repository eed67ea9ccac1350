"""A store's labels in the formats of other programs."""
