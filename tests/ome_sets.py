"""OME-TIFFs whose images lie in several files, as Bio-Formats writes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import tifffile

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def uuid_of(name: str) -> str:
    """The same for the same name."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def image_xml(
    number: int, planes: Sequence[tuple[str, int]], shape: tuple[int, ...], dtype: Any
) -> str:
    """One image, of a slice for each plane ``(file, page)``; its µm are its number and a half."""
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{page}" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid_of(PureWindowsPath(name).name)}</UUID></TiffData>'
        for z, (name, page) in enumerate(planes)
    )
    return (
        f'<Image ID="Image:{number}" Name="position {number}"><Pixels ID="Pixels:{number}" '
        f'DimensionOrder="XYZCT" Type="{np.dtype(dtype)}" SizeX="{shape[1]}" SizeY="{shape[0]}" '
        f'SizeZ="{len(planes)}" SizeC="1" SizeT="1" PhysicalSizeX="{number + 0.5}" '
        f'PhysicalSizeY="{number + 0.5}"><Channel ID="Channel:{number}:0" '
        f'Name="stain {number}" SamplesPerPixel="1"/>{data}</Pixels></Image>'
    )


def ome_xml(own: str | None, inner: str) -> str:
    """An OME-XML of the file called `own`; None leaves its UUID out."""
    about = f' UUID="{uuid_of(own)}"' if own else ""
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{NAMESPACE}"{about}>{inner}</OME>'


def write_set(
    folder: Path,
    pages: Mapping[str, Sequence[np.ndarray]],
    images: Sequence[Sequence[tuple[str, int]]],
    *,
    with_uuid: bool = True,
    companion: str | None = None,
    pyramid: bool = False,
    **how: Any,
) -> None:
    """Files of a set.

    Parameters
    ----------
    pages
        Pages of each file ``(y, x)``.
    images
        Of each image its planes along Z, file and page.
    with_uuid
        Whether each file says its own UUID.
    companion
        A file that has the metadata, instead of each.
    pyramid
        Whether each page has a smaller one, half its size.
    how
        How pages are written, as tifffile's `write` takes it.
    """
    first = next(iter(pages.values()))[0]
    inner = "".join(
        image_xml(i, planes, first.shape, first.dtype) for i, planes in enumerate(images)
    )
    if companion:
        (folder / companion).write_text(ome_xml(companion, inner))
        inner = f'<BinaryOnly MetadataFile="{companion}" UUID="{uuid_of(companion)}"/>'
    for name, planes in pages.items():
        xml = ome_xml(Path(name).name if with_uuid else None, inner)
        with tifffile.TiffWriter(folder / name) as file:
            for number, plane in enumerate(planes):
                described = xml.encode() if number == 0 else None
                layout = {"metadata": None, "photometric": "minisblack", "contiguous": False, **how}
                file.write(plane, description=described, subifds=int(pyramid), **layout)
                if pyramid:
                    file.write(plane[::2, ::2], subfiletype=1, **layout)
