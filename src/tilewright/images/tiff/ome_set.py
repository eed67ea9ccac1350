"""What an OME-TIFF's XML says: which images there are, and which files hold their planes.

tifffile counts only images with pixels, looks at no file's UUID and marks no series as another
file's: it is given the XML of one image, which names only files that are what the XML says.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import tifffile

from tilewright.contract.reading import followed, opened, read_bytes
from tilewright.images.source import MOST_METADATA, few, microns, named, pair, unreadable

Element = ElementTree.Element
ROOT_UUID = re.compile(r"<(?:\w+:)?OME\s[^>]*?\bUUID=[\"']([^\"']+)", re.DOTALL)
NAMED = 3  # files in a sentence
THERE = "Put the files it was saved with beside it, under the names they had."


@dataclass(frozen=True)
class OmeImage:
    """One image of an OME-XML.

    Parameters
    ----------
    places
        The file of each of its TiffData, in the order of the XML; the first is what is opened.
    uuids
        What the XML says their UUIDs are, by file.
    channel_names
        None where one has none.
    mpp, z_um
        µm per pixel ``(y, x)`` and per slice, or None.
    significant_bits
        As the XML has it, or None.
    """

    name: str | None
    element: Element
    places: tuple[Path, ...]
    uuids: dict[Path, str]
    channel_names: tuple[str, ...] | None
    mpp: tuple[float, float] | None
    z_um: float | None
    significant_bits: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Rows and columns, as the XML says."""
        pixels = next(_children(self.element, "Pixels"), None)
        sides = [pixels.get(f"Size{a}", "") if pixels is not None else "" for a in "YX"]
        y, x = (int(side) if side.isdecimal() else 0 for side in sides)
        return (y, x) if y and x else None

    @property
    def said_sizes(self) -> tuple[str | None, str | None]:
        """PhysicalSize along y and x, as the XML has it, with its unit."""
        pixels = next(_children(self.element, "Pixels"), None)
        y, x = (
            f"{pixels.get(name)} {pixels.get(f'{name}Unit', 'µm')}"
            if pixels is not None and pixels.get(name) is not None
            else None
            for name in ("PhysicalSizeY", "PhysicalSizeX")
        )
        return y, x

    @property
    def files(self) -> tuple[Path, ...]:
        """What holds its planes, each once."""
        return tuple(dict.fromkeys(self.places))


@dataclass(frozen=True)
class OmeSet:
    """All images that a file's OME-XML tells of, those with planes in this very file first.

    Parameters
    ----------
    path
        The file that was given.
    about
        The file that holds the XML: itself, or its companion.
    uuid_kept
        Whether the file's UUID is among those of the XML: a program that rewrote it kept none.
    alone
        Whether it names no other file.
    plain
        Whether it is about one image, in this file alone.
    """

    path: Path
    about: Path
    root: Element
    images: tuple[OmeImage, ...]
    uuid_kept: bool
    alone: bool
    plain: bool

    def magnification(self, image: OmeImage) -> str | None:
        """The NominalMagnification of the objective that an image's settings name."""
        named = {settings.get("ID") for settings in _children(image.element, "ObjectiveSettings")}
        powers = {o.get("ID"): o.get("NominalMagnification") for o in self.root.iter()
                  if _is(o, "Objective")}  # fmt: skip
        return next((powers[name] for name in named if name in powers), None)

    def xml(self, image: OmeImage) -> str:
        """An OME-XML of one image, whose files' paths are whole and whose first is the root."""
        root = Element("OME", {"UUID": "root"})
        root.extend(_children(self.root, "StructuredAnnotations"))
        alone = copy.deepcopy(image.element)
        root.append(alone)
        data = [data for pixels in _children(alone, "Pixels") for data in _planes(pixels)]
        for planes, file in zip(data, image.places, strict=True):
            for uuid in _children(planes, "UUID"):
                planes.remove(uuid)
            if file != image.files[0]:
                uuid = ElementTree.SubElement(planes, "UUID", {"FileName": str(file.absolute())})
                uuid.text = str(file)
        return ElementTree.tostring(root, "unicode")

    def check_there(self, image: OmeImage) -> None:
        """Refuse an image some of whose files aren't there.

        Raises
        ------
        TilewrightError
            Naming them.
        """
        missing = [f.name for f in image.files if f != self.path and not f.is_file()]
        if missing:
            held = f"{len(missing)} of the {len(image.files)} files that hold its planes"
            held = "the file that holds its planes" if len(image.files) == 1 else held
            are = "are" if len(missing) > 1 else "is"
            raise unreadable(self.path, f"{held} {are} missing ({few(missing, NAMED)})", THERE)

    def check_uuids(self, image: OmeImage, opened: Mapping[Path, tifffile.TiffFile]) -> None:
        """Refuse a file that took the place of one of the set.

        Parameters
        ----------
        opened
            The files that hold its planes, by path.

        Raises
        ------
        TilewrightError
            Naming it.
        """
        uuids = {followed(file): uuid for file, uuid in image.uuids.items() if file != self.path}
        for file, tiff in opened.items():
            said, found = uuids.get(followed(file)), root_uuid(tiff.pages.first.description)
            if self.uuid_kept and said and found and said != found:
                raise unreadable(
                    self.path,
                    f"its planes are in {file.name} with the UUID {said}, and the file of that "
                    f"name has the UUID {found}",
                    THERE,
                )

    def remarks(self, image: OmeImage) -> tuple[str, ...]:
        """What a user of one of its files should know, when there are several."""
        said = []
        others = [f.name for f in image.files if f != self.path]
        if others and self.path in image.files:
            held = f"{len(image.files)} files (here and in {few(others, NAMED)})"
            said.append(
                f"Its planes are in {held}: each of them, given as an image, is all of this image."
            )
        elif others:
            said.append(f"Its planes are in {few(others, NAMED)}.")
        if len(self.images) > 1 and any(self.path not in i.files for i in self.images):
            said.append(
                f"It is of a set of {len(self.images)} images in several files: scene 0 is the "
                "first that this file holds planes of, and the others follow in the set's order."
            )
        files = {f for i in self.images for f in i.files if f not in (self.path, *image.files)}
        missing = sorted(f.name for f in files if not f.is_file())
        if missing:
            said.append(f"Missing of its set, whose other images need it: {few(missing, NAMED)}.")
        return tuple(said)


def root_uuid(xml: str) -> str | None:
    """The UUID of the file that an OME-XML is in."""
    found = ROOT_UUID.search(xml)
    return found[1] if found else None


def described(path: Path, xml: str) -> OmeSet:
    """What a file's OME-XML, or that of its companion, tells of.

    Parameters
    ----------
    path
        The file; others of its set are looked for beside it, and beside what it is a link to.
    xml
        The XML in it.

    Raises
    ------
    TilewrightError
        When its companion isn't there or another's.
    ElementTree.ParseError, ValueError
        When it isn't XML, or not as OME's.
    """
    root, about = _parsed(xml), path
    uuid = root.get("UUID")
    for binary in _children(root, "BinaryOnly"):
        about = _companion(path, binary)
        root = _companion_root(path, about)
        _check_companion(path, about, binary.get("UUID"), root.get("UUID"))
    uuids = [u for u in root.iter() if _is(u, "UUID")]
    kept = uuid in {(u.text or "").strip() for u in uuids}
    names = {u.get("FileName") for u in uuids}
    if uuid is None and len(names) == 1 and about == path and not _all_there(path, names):
        for holder in [data for data in root.iter() if _is(data, "TiffData")]:
            for other in _children(holder, "UUID"):  # one file, under another name now
                holder.remove(other)
    images = _images(path, uuid if kept else None, root)
    count = sum(1 for _ in _children(root, "Image"))
    files = {file for image in images for file in image.places}
    alone = about == path and files == {path} and names <= {None, path.name}
    return OmeSet(path, about, root, images, kept, alone, alone and count == 1 == len(images))


def _all_there(path: Path, names: set[str | None]) -> bool:
    return all(name and _beside(path, name).is_file() for name in names)


def _images(path: Path, own: str | None, root: Element) -> tuple[OmeImage, ...]:
    """The images that have planes, or the only one; those with some in this file first."""
    elements = list(_children(root, "Image"))
    found = [
        _image(element, pixels, _places(path, own, pixels))
        for element in elements
        for pixels in _children(element, "Pixels")
        if len(elements) == 1 or any(True for _ in _planes(pixels))
    ]
    return tuple(sorted(found, key=lambda image: path not in image.files))


def _parsed(xml: str | bytes) -> Element:
    """The root of an XML that declares nothing, so that entities can't make it grow."""
    if (b"<!DOCTYPE" if isinstance(xml, bytes) else "<!DOCTYPE") in xml:  # type: ignore[operator]
        raise ValueError("its OME-XML has a document type, which OME's has not")
    return ElementTree.fromstring(xml)  # noqa: S314 - no entity is declared


def _companion(path: Path, binary: Element) -> Path:
    """The file that holds the metadata of one that has pixels alone."""
    name = binary.get("MetadataFile")
    found = _beside(path, name) if name else None
    if found is None or not found.is_file():
        raise unreadable(
            path, f"its metadata is in {name or 'a file without a name'}, which is missing", THERE
        )
    return found


def _companion_root(path: Path, about: Path) -> Element:
    try:
        return _parsed(_xml_of(about))
    except (ElementTree.ParseError, ValueError) as error:
        raise unreadable(
            path,
            f"its metadata is in {about.name}, which can't be read ({error})",
            "Copy or export that file again.",
        ) from error


def _xml_of(about: Path) -> str | bytes:
    with opened(about) as file:
        is_tiff = file.read(2) in {b"II", b"MM"}
    if not is_tiff:
        return read_bytes(about, MOST_METADATA)
    with tifffile.TiffFile(about) as tiff:
        return str(tiff.pages.first.description)


def _check_companion(path: Path, about: Path, said: str | None, found: str | None) -> None:
    if said and found and said != found:
        raise unreadable(
            path,
            f"its metadata is in {about.name} with the UUID {said}, and the file of that name has "
            f"the UUID {found}",
            THERE,
        )


def _image(element: Element, pixels: Element, places: list[tuple[Path, str | None]]) -> OmeImage:
    z, y, x = (
        microns(_number(pixels.get(f"PhysicalSize{a}")), pixels.get(f"PhysicalSize{a}Unit", "µm"))
        for a in "ZYX"
    )
    return OmeImage(
        name=element.get("Name"),
        element=element,
        places=tuple(file for file, _ in places),
        uuids={file: uuid for file, uuid in places if uuid},
        channel_names=named([c.get("Name") for c in _children(pixels, "Channel")]),
        mpp=pair(y, x),
        z_um=z,
        significant_bits=pixels.get("SignificantBits"),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _places(path: Path, own: str | None, pixels: Element) -> list[tuple[Path, str | None]]:
    """The file of each TiffData, and its UUID.

    Parameters
    ----------
    own
        The file's UUID, where the XML has it: then it goes by that, whatever it is called now.
    """
    found = []
    for data in _planes(pixels):
        uuid = next(_children(data, "UUID"), None)
        text = None if uuid is None else (uuid.text or "").strip() or None
        name = None if uuid is None else uuid.get("FileName")
        is_own = uuid is None or (own is not None and text == own)
        if not is_own and not name:
            is_own = text is None or own is None
        if is_own or name is None:
            found.append((path if is_own else path.with_name(f"file of UUID {text}"), text))
        else:
            found.append((_named_file(path, own, name, text), text))
    return found or [(path, None)]


def _named_file(path: Path, own: str | None, name: str, text: str | None) -> Path:
    if PureWindowsPath(name).name.lower() != path.name.lower():
        return _beside(path, name)
    # What has this file's name and another's UUID is another file, in whose place this one is.
    return path if own is None or text is None else path.with_name(f"{name} (UUID {text})")


def _beside(path: Path, name: str) -> Path:
    """The file of that name in a file's folder, or where the file is linked to."""
    tail = PureWindowsPath(name).name  # both kinds of slashes
    folders = (path.parent, followed(path).parent)
    places = [folder / part for part in (name, tail) for folder in folders]
    return next((p for p in places if p.is_file()), path.parent / tail)


def _planes(pixels: Element) -> Iterator[Element]:
    return _children(pixels, "TiffData")


def _children(of: Element, tag: str) -> Iterator[Element]:
    """An element's children of that name, in whatever of OME's namespaces."""
    return (child for child in list(of) if _is(child, tag))


def _is(element: Element, tag: str) -> bool:
    return isinstance(element.tag, str) and element.tag.rpartition("}")[2] == tag
