"""Slides as Philips' IntelliSite exports them: TIFF whose XML says what its levels are."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import tifffile

from . import jpeg
from .mosaic import Slide
from .options import Options, label, macro
from .pyramid import levels


def philips(path: Path, slide: Slide, options: Options) -> None:
    """Levels whose sizes are rounded up to whole tiles, in TIFF alone.

    The true sizes are to be had from the pixel spacings in the XML (of levels without a size in
    µm: relative ones, in mm); label and macro are in it as base64, and the macro is a page as
    well. Sparse tiles have a count of 0.
    """
    side = options.tile or 512
    encode, tables = options.encode, jpeg.tables(options.encode(np.zeros((16, 16, 3), np.uint8)))
    with tifffile.TiffWriter(path, bigtiff=True) as out:
        for level in levels(slide, options.levels, options.by or 2):
            shape = (*(-(-n // side) * side for n in (level.height, level.width)), 3)
            out.write(
                level.tiles(side, lambda t: jpeg.abbreviated(encode(t)), options.sparse),
                shape=shape,
                dtype=np.uint8,
                tile=(side, side),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                jpegtables=tables,
                subfiletype=1 if level.number else 0,
                description=None if level.number else _xml(options, side),
                software=False if level.number else "Philips DP v1.0",
                metadata=None,
            )
        if options.extras:
            out.write(
                macro(),
                rowsperstrip=431,
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                subfiletype=1,
                description="Macro",
                metadata=None,
                software=False,
            )


def _xml(options: Options, side: int) -> str:
    by = options.by or 2
    spacings = [options.spacing(by**n) or by**n * 1000 for n in range(options.levels)]
    shown = [_spacing(f"{value / 1000:.9f}") for value in spacings]
    sequence = "".join(
        _object(
            "PixelDataRepresentation",
            _attribute("DICOM_PIXEL_SPACING", text)
            + _attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", str(number)),
        )
        for number, text in enumerate(shown)
    )
    whole = _attribute("PIM_DP_IMAGE_TYPE", "WSI")
    if options.mpp is not None:
        whole += _attribute("DICOM_PIXEL_SPACING", shown[0] if options.number else _spacing("0"))
    if options.magnification is not None:
        said = f"tiff-useBigTIFF=1-levels={options.magnification},10002,10000-processing=0"
        whole += _attribute("DICOM_DERIVATION_DESCRIPTION", said)
    whole += _array("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", sequence)
    images = _object("DPScannedImage", whole)
    if options.extras:
        for kind, picture in (("MACROIMAGE", macro()), ("LABELIMAGE", label())):
            data = base64.b64encode(jpeg.encode(picture)).decode()
            said = _attribute("PIM_DP_IMAGE_TYPE", kind) + _attribute("PIM_DP_IMAGE_DATA", data)
            images += _object("DPScannedImage", said)
    head = _attribute("DICOM_MANUFACTURER", "PHILIPS")
    body = head + _array("PIM_DP_SCANNED_IMAGES", images)
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n{_object("DPUfsImport", body)}'


def _spacing(text: str) -> str:
    """Row and column spacing in mm, quoted, as Philips writes it."""
    return f"&quot;{text}&quot; &quot;{text}&quot;"


def _attribute(name: str, text: str) -> str:
    return f'<Attribute Name="{name}" Element="0x1004" PMSVR="IString">{text}</Attribute>'


def _array(name: str, objects: str) -> str:
    return f'<Attribute Name="{name}" PMSVR="IDataObjectArray"><Array>{objects}</Array></Attribute>'


def _object(kind: str, attributes: str) -> str:
    return f'<DataObject ObjectType="{kind}">{attributes}</DataObject>'
