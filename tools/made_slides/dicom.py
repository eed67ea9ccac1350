"""Slides as DICOM: a folder, one file for each level, and for the label and the overview.

Needs pydicom for the head of a file. Its pixels are written as they come, behind the head: frames
are JPEGs, and their offset table is empty, which DICOM allows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit

from .mosaic import Array, Slide
from .options import Options, label, macro
from .pyramid import Level, levels

WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
ROOT = "1.2.826.0.1.3680043.10.999."
"""Of made identifiers; equal ones for equal slides."""
SECOND = "20260101", "120000"
Z_STEP = 0.0015
"""mm between planes of Z."""
ORIENTATION = [0.0, -1.0, 0.0, -1.0, 0.0, 0.0]
Place = tuple[int, int]


def dicom(path: Path, slide: Slide, options: Options) -> None:
    """Levels as TILED_FULL, or TILED_SPARSE where glass is left out; then label and overview."""
    path.mkdir(parents=True, exist_ok=True)
    side = options.tile or 256
    for plane in range(slide.planes):  # of each level all tiles of a plane, then those of the next
        for level in levels(slide, options.levels, options.by or 4, plane):
            file = path / f"level{level.number}.dcm"
            if not plane:
                _begin(file, _level(slide, options, level, side))
            _add(file, (t for t in level.tiles(side, options.encode, options.sparse) if t))
    for number in range(options.levels):
        _end(path / f"level{number}.dcm")
    if options.extras:
        for name, picture in (("LABEL", label()), ("OVERVIEW", macro())):
            _single(path / f"{name.lower()}.dcm", name, picture, slide, options)


def _level(slide: Slide, options: Options, level: Level, side: int) -> FileDataset:
    """What a level's file says."""
    flavour = ["DERIVED" if level.number else "ORIGINAL", "PRIMARY", "VOLUME"]
    flavour.append("RESAMPLED" if level.number else "NONE")
    head = _head(slide, options, flavour, (level.height, level.width), (side, side))
    if options.mpp is not None:
        spacing = options.spacing(level.factor)
        _spaced(head, 0.0 if spacing is None else spacing / 1000, (level.height, level.width))
    else:
        head.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    places = [
        (y, x)
        for y in range(0, level.height, side)
        for x in range(0, level.width, side)
        if not (options.sparse and level.is_glass(y, x, side, side))
    ]
    head.NumberOfFrames = len(places) * slide.planes
    head.TotalPixelMatrixFocalPlanes = slide.planes
    if options.sparse:
        head.DimensionOrganizationType = "TILED_SPARSE"
        head.PerFrameFunctionalGroupsSequence = Sequence(
            _position(place, plane) for plane in range(slide.planes) for place in places
        )
    return head


def _single(path: Path, name: str, picture: Array, slide: Slide, options: Options) -> None:
    """The label or the overview."""
    height, width, _ = picture.shape
    flavour = ["ORIGINAL", "PRIMARY", name, "NONE"]
    head = _head(slide, options, flavour, (height, width), (height, width))
    _spaced(head, 0.05, (height, width))
    head.SpecimenLabelInImage = "YES"
    head.NumberOfFrames = 1
    _begin(path, head)
    _add(path, [options.encode(picture)])
    _end(path)


def _head(
    slide: Slide, options: Options, flavour: list[str], size: Place, tile: Place
) -> FileDataset:
    """What a file says before its pixels; sizes are (Y, X) px."""
    number = f"{ROOT}{slide.seed}.{slide.height}.{slide.width}"
    instance = f"{number}.{size[0]}.{size[1]}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = WSI, instance
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    head = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    head.SOPClassUID, head.SOPInstanceUID = WSI, instance
    head.StudyInstanceUID, head.SeriesInstanceUID = f"{number}.1", f"{number}.2"
    head.FrameOfReferenceUID, head.PositionReferenceIndicator = f"{number}.3", "SLIDE_CORNER"
    head.Modality, head.Manufacturer, head.ManufacturerModelName = "SM", "made", "make_slide"
    head.DeviceSerialNumber, head.SoftwareVersions = "0", "0"
    head.PatientName, head.PatientID, head.PatientBirthDate, head.PatientSex = "", "made", "", ""
    head.StudyID = head.AccessionNumber = head.ReferringPhysicianName = ""
    head.StudyDate = head.ContentDate = SECOND[0]
    head.StudyTime = head.ContentTime = SECOND[1]
    head.AcquisitionDateTime = "".join(SECOND)
    head.SeriesNumber, head.InstanceNumber = 1, 1
    head.ImageType = flavour
    head.ContainerIdentifier = "made"
    head.ContainerTypeCodeSequence = Sequence([_code("433466003", "SCT", "Microscope slide")])
    head.AcquisitionContextSequence = head.IssuerOfTheContainerIdentifierSequence = Sequence()
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = "made", f"{number}.4"
    specimen.SpecimenPreparationSequence = specimen.IssuerOfTheSpecimenIdentifierSequence = (
        Sequence()
    )
    head.SpecimenDescriptionSequence = Sequence([specimen])
    _pixels(head, options, size, tile)
    _optics(head, options)
    return head


def _pixels(head: Dataset, options: Options, size: Place, tile: Place) -> None:
    head.SamplesPerPixel, head.PlanarConfiguration, head.PixelRepresentation = 3, 0, 0
    head.BitsAllocated, head.BitsStored, head.HighBit = 8, 8, 7
    head.PhotometricInterpretation = "RGB" if options.colour == "RGB" else "YBR_FULL_422"
    head.Rows, head.Columns = tile
    head.TotalPixelMatrixRows, head.TotalPixelMatrixColumns = size
    head.TotalPixelMatrixFocalPlanes = 1
    head.LossyImageCompression, head.LossyImageCompressionMethod = "01", "ISO_10918_1"
    head.LossyImageCompressionRatio = 10
    head.BurnedInAnnotation, head.SpecimenLabelInImage = "NO", "NO"
    head.VolumetricProperties, head.FocusMethod, head.ExtendedDepthOfField = "VOLUME", "AUTO", "NO"
    head.ImageOrientationSlide = ORIENTATION
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.0, 40.0
    head.TotalPixelMatrixOriginSequence = Sequence([origin])
    organisation = Dataset()
    organisation.DimensionOrganizationUID = f"{head.SOPInstanceUID}.9"
    head.DimensionOrganizationSequence = Sequence([organisation])
    head.DimensionOrganizationType = "TILED_FULL"


def _optics(head: Dataset, options: Options) -> None:
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    path.IlluminationTypeCodeSequence = Sequence([_code("111744", "DCM", "Brightfield")])
    path.IlluminationColorCodeSequence = Sequence([_code("371251000", "SCT", "White")])
    if options.magnification is not None:
        path.ObjectiveLensPower = float(options.magnification)
    head.OpticalPathSequence = Sequence([path])
    head.NumberOfOpticalPaths = 1


def _spaced(head: Dataset, mm: float, size: Place) -> None:
    measures = Dataset()
    measures.PixelSpacing = [_decimal(mm), _decimal(mm)]
    measures.SliceThickness = 0.001
    measures.SpacingBetweenSlices = Z_STEP
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    head.SharedFunctionalGroupsSequence = Sequence([shared])
    head.ImagedVolumeHeight, head.ImagedVolumeWidth = size[0] * mm, size[1] * mm
    head.ImagedVolumeDepth = 1.0


def _decimal(value: float) -> str:
    """In at most 16 characters, as DICOM wants it."""
    return f"{value:.12g}"[:16]


def _position(place: Place, plane: int) -> Dataset:
    """Where a frame lies: DICOM counts from 1; planes in µm."""
    where = Dataset()
    where.RowPositionInTotalImagePixelMatrix = place[0] + 1
    where.ColumnPositionInTotalImagePixelMatrix = place[1] + 1
    where.XOffsetInSlideCoordinateSystem = where.YOffsetInSlideCoordinateSystem = 0.0
    where.ZOffsetInSlideCoordinateSystem = plane * Z_STEP * 1000
    frame = Dataset()
    frame.PlanePositionSlideSequence = Sequence([where])
    return frame


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _begin(path: Path, head: Any) -> None:
    """Write a file up to its frames: head, and an empty offset table."""
    head.save_as(path, enforce_file_format=True)
    with path.open("ab") as out:
        out.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
        out.write(struct.pack("<HHI", 0xFFFE, 0xE000, 0))


def _add(path: Path, frames: Iterable[bytes]) -> None:
    """Append frames as they come."""
    with path.open("ab") as out:
        for frame in frames:
            even = frame + b"\0" * (len(frame) % 2)
            out.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(even)) + even)


def _end(path: Path) -> None:
    """Say that there are no more frames."""
    with path.open("ab") as out:
        out.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
