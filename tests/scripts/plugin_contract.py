"""What the installed aiod_utils makes of names and files: `plugin_contract.py CASES.json OUT`."""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from aiod_utils import io, rle

cases, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])


def named(path, prep):
    mask = io.get_mask_name(cases["run"], image_path=path, prep_hash=prep)
    return io.get_combined_mask_name(mask, "rle")


masks, kind = rle.decode(rle.load_encoding(cases["mask"]))
np.save(out / "decoded.npy", masks)
facts = {
    "versions": {n: importlib.metadata.version(n) for n in ("aiod-utils", "aiod-napari")},
    "names": [named(path, prep) for path in cases["paths"] for prep in cases["preps"]],
    "whole": [io.is_combined_mask(name) for name in (*cases["wholes"], *cases["previews"])],
    "prefixes": [io.get_mask_prefix_from_name(name) for name in cases["wholes"]],
    "places": [io.extract_idxs_from_fname(name) for name in cases["previews"]],
    "kind": kind["metadata"]["mask_type"],
}
(out / "facts.json").write_text(json.dumps(facts))
