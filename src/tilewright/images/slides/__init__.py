"""Slides that aren't plain TIFF: DICOM, and what OpenSlide reads of other vendors."""
