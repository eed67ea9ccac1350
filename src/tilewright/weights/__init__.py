"""A model's files: found, fetched and kept by their digest."""
