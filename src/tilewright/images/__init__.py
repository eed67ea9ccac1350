"""Pixels in: images are found, opened and read region by region."""
