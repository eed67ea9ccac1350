"""What tifffile logs of a file: damage, what a user should know, or nothing of weight."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from tilewright.images.source import unreadable

Notes = list[tuple[int, str]]
"""Level and words."""

# Tags that say where pixels are and what they are; the values of others may be lost.
OF_PIXELS = frozenset((254, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284, 317, 320,
                       322, 323, 324, 325, 330, 338, 339, 347, 530, 532, 32997, 32998, 50838,
                       50839))  # fmt: skip
A_TAG = re.compile(r"TiffTag (\d+) ")
HARMLESS = re.compile(
    "|".join(
        (
            # our own checks of each page that is read tell it, or that all of its strips are there
            r"incorrect Strip(ByteCounts|Offsets) count",
            r"is missing required tags",
            r"missing (data offset|data ByteCounts|ByteCounts) tag",
            r"OME series (contains|failed to read|is missing)",
            r"MMStack is missing",
            # where a picture is on Earth, and what vendors note of a recording
            r"GeoKeyDirectoryTag|GDAL_NODATA",
            r"read_lsm_(timestamps|channelcolors|lookuptable|scaninfo)|read_uic|STK Datetime",
            r"read_micromanager_metadata> failed to read (comments|display settings)",
            r"(andor|nuvu|epics|ndpi|eer)_tags|eer_xml|fluoview_metadata|olympus_ini|read_tvips",
            r"astrotiff|scanimage_artist_metadata",
            # what it puts right by itself, as other readers do
            r"correcting LSM bitspersample|ignoring predictor|invalid self\.subfiletype",
            r"estimating ByteCounts for CCITT",
        )
    )
)
DAMAGE = re.compile(
    r"read_bytes> failed|failed to read (header|index map|NDTiff|summary)|contains no pages"
    r"|ImageJ series metadata invalid"
)
SENTENCES = {
    "MMStack series is missing files": "Other files of its Micro-Manager set aren't beside it: "
    "only the planes of this one are read.",
    "cannot handle discontiguous storage": "Its OME-XML doesn't fit its pages: they are read as "
    "the TIFF's own tags say.",
}
BEYOND = re.compile(r"invalid page offset (\d+)")
RAISED = re.compile(r" raised \w+\(.*", re.DOTALL)
OBJECT = re.compile(r"^<tifffile\.[^>]*>:? ?|<tifffile\.\w+ '[^']*'> ?")

_heard: ContextVar[Notes | None] = ContextVar("_heard", default=None)


def _hear(record: logging.LogRecord) -> bool:
    """Keep what is logged while somebody listens; nobody else sees it."""
    notes = _heard.get()
    if notes is not None:
        notes.append((record.levelno, record.getMessage()))
    return False


# What it has to say, the user reads in our sentence.
logging.getLogger("tifffile").setLevel(logging.WARNING)
logging.getLogger("tifffile").addFilter(_hear)


@contextlib.contextmanager
def listening() -> Iterator[Notes]:
    """What tifffile logs inside, level and words."""
    notes: Notes = []
    token = _heard.set(notes)
    try:
        yield notes
    finally:
        _heard.reset(token)


def remarks(path: Path, notes: Notes) -> tuple[str, ...]:
    """What a user should know of a file.

    Raises
    ------
    TilewrightError
        When what was logged tells that pixels may be others than they are taken for.
    """
    said: list[str] = []
    for level, words in notes:
        if HARMLESS.search(words):
            continue
        tag = A_TAG.search(words)
        if tag and int(tag[1]) not in OF_PIXELS:
            continue
        beyond, size = BEYOND.search(words), path.stat().st_size
        if beyond and int(beyond[1]) >= size:
            raise unreadable(
                path,
                f"it is cut off: {size} bytes where a page's header is to begin at {beyond[1]}",
                "Copy it again from where it came from.",
            )
        if tag or level >= logging.ERROR or DAMAGE.search(words):
            raise unreadable(
                path,
                f"it is damaged or cut off ({_plain(words)})",
                "Copy or export it again.",
            )
        ours = [sentence for part, sentence in SENTENCES.items() if part in words]
        said += ours or [f"tifffile says of it: {_plain(words)}."]
    return tuple(dict.fromkeys(said))


def _plain(words: str) -> str:
    """Without the object's name, which has the path."""
    tag = A_TAG.search(words)
    what = f"tag {tag[1]}: " if tag else ""
    words = RAISED.sub(" can't be read", OBJECT.sub("", words))
    return what + " ".join(words.split()).rstrip(".")[:200]
