"""Pixels and tables out: OME-Zarr, pyramids and AnnData tables."""
