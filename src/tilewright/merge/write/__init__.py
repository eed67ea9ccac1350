"""Tiles put together and written, block by block."""
