"""OME-Zarr and plain Zarr arrays, in folders and zips."""
