"""The tissue of a slide as a file that QuPath shows, and how one that was edited since is told."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tilewright.contract.canonical import digest
from tilewright.contract.jobs import ImageRef
from tilewright.contract.reading import read_text

from .enhance import opened
from .outlines import to_geojson
from .overview import overview
from .tissue import TissueRule, find_tissue

NAME = "tissue.geojson"
"""The file's name in an image's folder of results."""
PROPERTIES = {
    "objectType": "annotation",
    "classification": {"name": "Tissue", "color": [0, 150, 60]},
}
"""What QuPath reads of each piece."""
HEAD = '{"type":"FeatureCollection","features":'
SEAL = re.compile(r',"tilewright":\{"features":"([0-9a-f]{64})","found":"([0-9a-f]{64})"\}\}\n$')
SEAL_LENGTH = 200  # characters at a file's end that hold it


def default_rule() -> dict[str, Any]:
    """The numbers of the rule that tissue is found by, as JSON has them."""
    return asdict(TissueRule())


def found_by(ref: ImageRef, code: str) -> str:
    """SHA-256 of all that an image's tissue depends on.

    Parameters
    ----------
    ref
        The image; its `tissue` is the rule.
    code
        Digest of the code and libraries that find it.
    """
    rule = ref.tissue or default_rule()
    return digest([ref.fingerprint, ref.scene, ref.axes, ref.mpp, ref.prep, rule, code])


def write_tissue(ref: ImageRef, path: Path, code: str) -> None:
    """Find an image's tissue and write it as GeoJSON, in level-0 pixels of its whole.

    Parameters
    ----------
    ref
        The image; its `tissue` is the rule, its `mpp` counts.
    path
        The file; its folder is made.
    code
        As of `found_by`, by which the file is sealed.

    Raises
    ------
    TilewrightError
        When the image is damaged.
    """
    rule = TissueRule(**(ref.tissue or {}))
    with opened(ref.path, axes=ref.axes, scene=ref.scene, methods=ref.prep) as image:
        extent = image.size("Y"), image.size("X")
        seen = overview(image, rule.mpp, size=ref.mpp)
    mask = find_tissue(seen.pixels, seen.mpp, rule) | seen.unread  # what isn't seen is looked at
    path.parent.mkdir(parents=True, exist_ok=True)
    features = to_geojson(mask, seen.scale, properties=PROPERTIES, extent=extent)
    path.write_text(sealed(features, found_by(ref, code)), encoding="utf-8")


def sealed(features: list[dict[str, Any]], by: str) -> str:
    """A collection of GeoJSON features, with digests that an editor doesn't renew.

    Parameters
    ----------
    features
        The pieces.
    by
        What they were found by, as `found_by` has it.
    """
    lines = ",\n".join(json.dumps(f, separators=(",", ":")) for f in features)
    body = f"{HEAD}[{lines}]"
    return f'{body},"tilewright":{{"features":"{_digest(body)}","found":"{by}"}}}}\n'


def seal_of(path: Path) -> str | None:
    """What the tissue in a file was found by; None where somebody has edited or written it since.

    Raises
    ------
    OSError
        When it can't be read.
    """
    text = read_text(path, errors="replace")
    seal = SEAL.search(text, max(0, len(text) - SEAL_LENGTH))
    return seal[2] if seal and seal[1] == _digest(text[: seal.start()]) else None


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
