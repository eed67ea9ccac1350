"""TIFF and what programs make of it: OME-TIFF, ImageJ's, Micro-Manager's sets."""
