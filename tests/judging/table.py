"""Every kind of slide that is made, and who judges it."""

from __future__ import annotations

from .made import Judge, Row

REDRAWN = "tiles over missing ones are made of finer ones, by it with another filter"
BLACK = "it shows what was never scanned as black, we as white"
AS_STORED = "it takes YCbCr for RGB"
BOTH = {"openslide": Judge(), "tiffslide": Judge()}
BASE_ALONE = Judge("it knows no SubIFDs", levels=1, has_mpp=False)

ROWS = (
    Row("Aperio SVS", "svs", {}, BOTH),
    Row("Aperio SVS, JPEG of RGB", "svs", {"colour": "RGB"}, BOTH),
    Row("Aperio SVS, JPEG 2000 (33005)", "svs", {"codec": "jp2k-rgb"}, BOTH),
    Row(
        "Aperio SVS, JPEG 2000 of YCbCr (33003)",
        "svs",
        {"codec": "jp2k-ycbcr"},
        {"openslide": Judge(), "tiffslide": Judge(because=AS_STORED)},
    ),
    Row(
        "Aperio SVS, tiles missing",
        "svs",
        {"sparse": True},
        {"openslide": Judge(because=REDRAWN), "tiffslide": Judge(because=BLACK)},
        off=15,
    ),
    Row("Hamamatsu NDPI", "ndpi", {}, BOTH),
    Row("Hamamatsu NDPI, over 4 GB", "ndpi", {"large": True}, BOTH),
    Row("Hamamatsu NDPI, 3 planes of Z", "ndpi", {}, {"openslide": Judge()}, planes=3),
    Row("Philips TIFF", "philips", {}, BOTH),
    Row(
        "Philips TIFF, tiles missing",
        "philips",
        {"sparse": True, "tile": 256},
        {"openslide": Judge(), "tiffslide": Judge(because=BLACK)},
        off=15,
    ),
    Row("TIFF with levels as pages", "generic", {}, BOTH),
    Row("TIFF with levels as pages, Zstandard", "generic", {"codec": "zstd"}, BOTH, off=0),
    Row(
        "TIFF with levels as pages, tiles missing",
        "generic",
        {"sparse": True},
        {"openslide": Judge(), "tiffslide": Judge(because=BLACK)},
        off=15,
    ),
    Row("OME-TIFF", "ome", {}, {"openslide": BASE_ALONE, "tiffslide": Judge(has_mpp=False)}),
    Row("DICOM", "dicom", {}, {"openslide": Judge(), "wsidicom": Judge()}),
    Row(
        "DICOM, JPEG of RGB",
        "dicom",
        {"colour": "RGB"},
        {"openslide": Judge(), "wsidicom": Judge()},
    ),
    Row(
        "DICOM, tiles missing",
        "dicom",
        {"sparse": True},
        {"openslide": Judge(), "wsidicom": Judge()},
        off=15,
    ),
    Row("OME-Zarr", "ome_zarr", {}, {}, off=0),
)
