"""What a run gave, as facts: a name and a line each, of stores, pictures and the plugin's masks."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
import zarr

Array = np.ndarray[Any, Any]
HIDDEN = ".tilewright"  # launch folder and tasks, in an output folder
LEFT_OUT = (  # attributes that say how numbers were made, not what they are
    "tilewright.version",
    "tilewright.recipe_digest",
    "tilewright.recipe.code",
    "tilewright.recipe.environment",
    "tilewright.recipe.script.digest",
)
NOTES: dict[str, Callable[[str], Any]] = {"recipe": json.loads, "recipe_digest": str}


def results(out: Path) -> Iterator[tuple[str, str]]:
    """Facts of an output folder: stores, pictures beside them and in the report."""
    for path in sorted(p for p in out.rglob("*") if HIDDEN not in p.relative_to(out).parts):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".zarr":
            yield from contents(path, name)
        elif path.suffix == ".png":
            yield name, told(iio.imread(path))
        elif path.name == "report.html":
            found = re.findall(r"data:image/png;base64,([\w+/=]+)", path.read_text("utf-8"))
            for number, text in enumerate(found):
                yield f"{name} picture {number}", told(iio.imread(base64.b64decode(text)))


def contents(store: Path, name: str) -> Iterator[tuple[str, str]]:
    """Facts of a store: values and cut of each array, attributes of arrays and groups."""
    root = zarr.open_group(store, mode="r")
    for path, node in [("", root), *sorted(root.members(max_depth=None), key=lambda m: m[0])]:
        attributes: Any = dict(node.attrs)
        if isinstance(node, zarr.Array):
            values = np.asarray(node[...])
            note = path.rpartition("/uns/")[2]  # embeddings say in their table how they were made
            if note in NOTES:
                attributes |= {"tilewright": {note: NOTES[note](str(values))}}
            else:
                yield f"{name}/{path}", f"{told(values)} in {node.chunks}, {node.shards}"
        for key, value in leaves("", attributes):
            if not any(f"{key}.".startswith(f"{left}.") for left in LEFT_OUT):
                yield f"{name}/{path}@{key}", value


def leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Dotted names of all that is in a JSON object, and what it is; a list is one thing."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(f"{name}.{key}" if name else key, inner)
    else:
        yield name, json.dumps(value, sort_keys=True, ensure_ascii=False)


def masks(cache: Path) -> Iterator[tuple[str, str]]:
    """Facts of the plugin's folder: masks (RLE by its bytes), lists of tiles but for paths."""
    for path in sorted(cache.rglob("*_all.*")):
        name = path.relative_to(cache).as_posix()
        if path.suffix == ".rle":
            yield name, sha256(path.read_bytes())
        else:
            yield name, told(tifffile.imread(path))
    for path in sorted(cache.rglob("substacks_*.csv")):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        kept = [{k: v for k, v in row.items() if k != "img_path"} for row in rows]
        yield path.relative_to(cache).as_posix(), sha256(json.dumps(kept).encode())


def told(values: Array) -> str:
    """An array's dtype, shape and the digest of its values."""
    plain = values.dtype.kind in "biufc"
    data = values.tobytes() if plain else json.dumps(values.tolist()).encode()
    return f"{values.dtype} {values.shape} {sha256(data)}"


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()
