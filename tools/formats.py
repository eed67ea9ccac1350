"""Write docs/formats.md from the files that the tests read.

    "$(./tilewright environments prefix test)/bin/python" tools/formats.py [--check | --judge]

Every file of `tests/matrix` is written and read: what stands in the tables happened. ``--check``
only says whether the page is stale (exit 1). What openslide, tiffslide and wsidicom make of slides
is in `tests/judging/judged.json`; ``--judge`` asks them anew, in an environment of their own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
from judging.compare import KEPT, all_told, judge_all  # noqa: E402 - the package isn't installed
from judging.made import Judge  # noqa: E402
from judging.table import ROWS  # noqa: E402
from matrix.families import EVERY, FAMILIES, Family  # noqa: E402
from matrix.judges import DISAGREEMENTS  # noqa: E402
from matrix.refusals import REFUSALS  # noqa: E402
from matrix.specimen import Specimen  # noqa: E402
from plugin import environment  # noqa: E402

from tilewright.errors import TilewrightError  # noqa: E402
from tilewright.images.image import open_image  # noqa: E402
from tilewright.images.slides.openslide import OF_OPENSLIDE  # noqa: E402

PAGE = ROOT / "docs" / "formats.md"
INTRO = """\
<!-- written by tools/formats.py from tests/matrix/ -->
# Formats

What Tilewright reads, what it converts, and what it refuses: not as we believe, but as it was
tried. A program writes {files} small files, each of another kind, and this page. They are read by
region, at every level, and give the pixels that were written; where Pillow, GDAL or tensorstore
can read a file, they were asked as well. [Run](run.md#which-images) says what can be set where a
file leaves something open, and [honest pixels](honest-pixels.md) which of this was mistaken in
silence before.

Each format has two tables. The first says what becomes of its pixels: *converted* means that the
numbers in the file aren't those of the picture, and a model gets the picture's. What stands
beside it in italics is [a note](run.md#what-you-are-told) that you read. The second lists what
else varies. Any two values of a format's tables stand together in a file at least once, unless
they can't: {pairs} pairs. What a file is, its content says, not its name.

- [TIFF](#tiff)
- [PNG](#png)
- [JPEG](#jpeg)
- [OME-Zarr](#ome-zarr)
- [Whole slides](#whole-slides)
- [What is refused](#what-is-refused)
- [Where other readers differ](#where-other-readers-differ)
"""
ABOUT = {
    "TIFF": "Strips and tiles are decoded as needed; a compressed one may hold 1 GiB of pixels.",
    "PNG": "Decoded whole, up to 1 GiB of pixels. A changed byte is found by the file's checksums.",
    "JPEG": "Decoded whole, up to 1 GiB of pixels.",
    "OME-Zarr": "Chunks are decoded as they are needed.",
}
SLIDES = """\
## Whole slides

`tools/make_slide.py` makes slides as scanners write them, and three other readers are asked what
they see: [openslide](https://openslide.org), tiffslide and wsidicom. Every pixel of every level
that both have is compared. Labels, macro images and thumbnails are never read.

Real files were tried of two formats, one each: an Aperio SVS and a DICOM, both of 16 x 16 px and
equal to openslide. All other formats were never tried on a real file: they are read as their
descriptions and other readers' sources say. Look at the report's pictures before you trust a slide
of such a format.
"""
OTHERS = (
    "{names} are read by OpenSlide itself, so there is no other judge; small ones of some of them, "
    "written as OpenSlide's sources say, are tests. PerkinElmer's QPTIFF is read as TIFF is. None "
    "of these was ever tried on a real file."
)
LINE = 100
"""Letters of a line of prose."""
JUDGES = ("openslide", "tiffslide", "wsidicom")
FACTORS = {
    "container": "kind of TIFF", "order": "byte order", "dtype": "numbers", "layout": "pieces",
    "pages": "planes", "planar": "samples of a pixel", "photometric": "meaning of samples",
    "compression": "compression", "predictor": "predictor", "orientation": "orientation",
    "bit order": "bits of a byte", "kind": "kind", "bits": "bits a sample", "rows": "rows",
    "filter": "filter", "transparency": "transparency", "data": "data", "said": "further chunks",
    "coding": "coding", "subsampling": "subsampling of colour", "restart": "restart markers",
    "quality": "quality", "exif": "EXIF", "after": "what follows", "version": "version",
    "memory": "order in memory", "separator": "names of chunks", "axes": "axes",
    "levels": "levels", "chunks": "chunks", "sharding": "shards", "missing": "missing chunks",
    "place": "place", "omero": "`omero`",
}  # fmt: skip
WORDS = {
    "white": "WhiteIsZero (0)", "black": "BlackIsZero (1)", "rgb": "RGB",
    "rgba": "RGB with alpha", "palette": "palette", "cmyk": "CMYK",
    "ycbcr 1x1": "YCbCr (6)", "ycbcr 2x1": "YCbCr (6), colour at half the width",
    "ycbcr 2x2": "YCbCr (6), colour at half the width and height", "ycbcr": "YCbCr, as most are",
    "ycck": "YCCK", "grey alpha": "grey with alpha", "two greys": "two greys (ExtraSamples 0)",
    "classic": "TIFF", "bigtiff": "BigTIFF", "ome": "OME-TIFF", "imagej": "ImageJ's",
    "shaped": "tifffile's", "unsaid": "not said, so `.`", ".": "`.`", "/": "`/`",
    "apart": "in planes of their own", "one": "one plane", "stack": "several planes",
    "pyramid": "smaller levels as SubIFDs", "lzw": "LZW", "packbits": "PackBits", "zlib": "Zlib",
    "zstd": "Zstandard", "lzma": "LZMA", "ccitt 4": "CCITT group 4", "jpeg": "JPEG",
    "jpeg 2000": "JPEG 2000", "lerc": "LERC", "png": "PNG", "webp": "WebP", "jpeg xl": "JPEG XL",
    "gzip": "gzip", "blosc lz4": "Blosc with LZ4", "blosc zstd": "Blosc with Zstandard",
    "bz2": "bzip2", "lz4": "LZ4", "even": "of 16 x 32 px", "uneven": "of 15 x 22 px",
    "whole": "one", "root": "an image's own folder", "series": "in a bioformats2raw folder",
    "C": "rows first (C)", "F": "columns first (F)", "a chunk, fill 0": "a chunk, which is 0",
    "a chunk, fill 7": "a chunk, which is the fill value, 7", "444": "none", "422": "4:2:2",
    "420": "4:2:0", "440": "4:4:0", "411": "4:1:1",
}  # fmt: skip
NOTES = {
    ("PNG", "kind", "grey"): "Greys of 1, 2 and 4 bits are stretched to 0 to 255.",
    (
        "TIFF",
        "photometric",
        "black",
    ): "Greys of fewer bits than a byte stay what they are: white is 15 of 4 bits.",
}
"""What is no remark, since nobody is surprised."""
MEANINGS = ("photometric", "kind")
"""Factors whose values are told one by one: what becomes of each."""


@dataclass
class Value:
    """What became of the files with a factor's value that are read, and the refusals of others."""

    files: int = 0
    became: set[str] = field(default_factory=set)
    remarks: Counter[str] = field(default_factory=Counter)
    refusals: set[str] = field(default_factory=set)


Told = dict[tuple[str, str, str], Value]
"""By family, factor and value."""


def read_all(folder: Path) -> Told:
    """Write and read every file."""
    told: Told = defaultdict(Value)
    for number, (family, case) in enumerate(EVERY):
        place = folder / str(number)
        place.mkdir()
        path, specimen = family.make(case, place)
        became, remarks, refusal = outcome(path, specimen)
        for factor, value in case.items():
            found = told[family.name, factor, value]
            found.files += bool(became)
            found.became |= {became} if became else set()
            found.remarks.update(remarks)
            found.refusals |= {refusal} if refusal else set()
    return told


def outcome(path: Path, specimen: Specimen) -> tuple[str, tuple[str, ...], str]:
    """What a file's pixels became, the remarks, and why it is refused, if it is."""
    try:
        with open_image(path, axes=specimen.given) as image:
            pixels = image.read(0, {})
            wanted = specimen.levels[0].transpose([specimen.axes.index(a) for a in image.axes])
            if not np.allclose(pixels.astype(float), wanted.astype(float), 0, specimen.tolerance):
                raise SystemExit(f"{path.name} isn't read right.")
            channels = image.size("C")
            remarks = image.remarks
    except TilewrightError as error:
        return "", (), error.what.split(": ", 1)[-1]
    stored = specimen.stored[0]
    same = stored.size == wanted.size and np.array_equal(stored.ravel(), specimen.levels[0].ravel())
    kind = {1: "grey", 2: "2 channels", 3: "RGB"}.get(channels, f"{channels} channels")
    return kind + ("" if same else ", converted"), remarks, ""


def page(told: Told) -> str:
    """The whole page."""
    pairs = sum(len(f.pairs.wanted) for f in FAMILIES.values())
    parts = [INTRO.format(files=len(EVERY), pairs=pairs)]
    parts += [section(family, told) for family in FAMILIES.values()]
    parts.append(slides())
    rows = [(r.what, sentence(r)) for r in REFUSALS]
    parts.append(
        "## What is refused\n\nEach with a sentence that says what was found and what to do; the "
        "other images of a run\nare done.\n\n" + table(("a file", "the sentence"), rows)
    )
    rows = [(d.reader, d.what, d.because) for d in DISAGREEMENTS]
    parts.append(
        "## Where other readers differ\n\nOf these files other readers give other pixels. "
        "Tilewright goes by the specification.\n\n"
        + table(("reader", "what it does", "why we don't"), rows)
    )
    return "\n".join(parts)


def section(family: Family, told: Told) -> str:
    """A format: what its pixels mean, and what else may vary."""
    count = len(family.pairs.cases)
    parts = [f"## {family.name}\n\n{ABOUT[family.name]} {count} files.\n"]
    for factor in (f for f in family.factors if f in MEANINGS):
        rows = [meaning(family, factor, value, told) for value in family.factors[factor]]
        parts.append(table((FACTORS[factor], "what a model gets", "to know"), rows))
    rows = [
        (FACTORS[f], "; ".join(WORDS.get(v, v) for v in values))
        for f, values in family.factors.items()
        if f not in MEANINGS
    ]
    parts.append(table(("what varies", "values that are read"), rows))
    return "\n".join(parts)


def meaning(family: Family, factor: str, value: str, told: Told) -> tuple[str, str, str]:
    """A value, what became of it, and what the user is told."""
    found = told[family.name, factor, value]
    became = max(found.became, key=len, default="refused")  # converted, if it ever is
    said = [f"*{text}*" for text, count in sorted(found.remarks.items()) if count > found.files / 2]
    note = NOTES.get((family.name, factor, value))
    return WORDS.get(value, value), became, " ".join([*said, *filter(None, [note])])


def sentence(refusal: object) -> str:
    """What the user reads, less the file's name."""
    with tempfile.TemporaryDirectory() as name:
        path = refusal.made(Path(name))  # type: ignore[attr-defined]
        try:
            with open_image(path) as image:
                image.read(0, {})
        except TilewrightError as error:
            return f"{error.what.removeprefix(f'{path}: ')} {error.fix}"
    raise SystemExit(f"{refusal} is read.")


def slides() -> str:
    """Of each kind of slide, what judges make of it."""
    judged = json.loads(KEPT.read_text())
    rows = []
    for row in (row for row in ROWS if row.judges):
        said = [_verdict(judged[row.name].get(judge), row.judges.get(judge)) for judge in JUDGES]
        rows.append((row.name, row.reader, *said))
    made = table(("a made slide", "read by", *JUDGES), rows)
    *others, last = sorted(vendor.name for vendor in OF_OPENSLIDE.values())
    about = OTHERS.format(names=f"{', '.join(others)} and {last}")
    return "\n".join([SLIDES, made, textwrap.fill(about, LINE) + "\n"])


def _verdict(found: dict[str, float] | None, judge: Judge | None) -> str:
    """A judge's cell: whether it reads the same, and if not, how far off it is, and why."""
    if found is None or judge is None:
        return ""
    if not found["most"]:
        return f"equal, level 0 alone: {judge.because}" if judge.levels else "equal"
    return f"{found['share']:.1%} of pixels differ: {judge.because}"


def judge() -> None:
    """Ask the judges, and keep what they say."""
    with tempfile.TemporaryDirectory() as name:
        told = all_told(judge_all(environment("slides"), Path(name)))
    KEPT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("**", "\\*\\*") + "\n"


def main() -> None:
    """Write the page, or check it; before, ask the judges, if it is asked for."""
    if sys.argv[1:] == ["--judge"]:
        judge()
    with tempfile.TemporaryDirectory() as name:
        text = page(read_all(Path(name)))
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PAGE.read_text() == text else "docs/formats.md is stale: tools/formats.py")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
