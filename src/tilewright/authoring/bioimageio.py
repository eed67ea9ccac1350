"""A bioimage.io description as a manifest of ours: nothing of it is dropped without a word.

From the values that bioimageio.spec gives of a package (format 0.5) to the manifest, to the config
that its runner reads, and to notes of what a reader must know. What can't be done exactly is
refused by its name. `package` reads and writes the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tilewright.errors import USAGE, ProblemsError, TilewrightError

from .bioimageio_axes import cannot, layouts, tile_spec

Values = dict[str, Any]

FORMATS = ("onnx", "torchscript")  # of weights, best first
POINTWISE = ("binarize", "clip", "ensure_dtype", "fixed_zero_mean_unit_variance", "scale_linear",
             "sigmoid", "softmax")  # fmt: skip
"""Steps that look at one pixel at a time: the runner does them."""
MOST_EPS = 1e-5  # we divide by at least 1e-6 in place of adding a small number
RULE_PARAMS: dict[str, tuple[str, ...]] = {
    "watershed": ("foreground_threshold", "seed_threshold", "split_ratio", "min_certainty",
                  "min_area", "max_hole"),
    "components": ("foreground_threshold", "min_area", "max_hole"),
    "argmax": (),
    "labels": (),
}  # fmt: skip
"""How labels are made of maps, and what a user may change then."""
PARAM_FIELDS: dict[str, Values] = {
    "foreground_threshold": {"name": "Foreground threshold", "value": 0.5, "min": 0, "max": 1,
                             "tooltip": "Higher finds less and smaller objects"},
    "seed_threshold": {"name": "Seed threshold", "value": 0.4, "min": 0, "max": 1,
                       "tooltip": "Least peak of the distance map that starts an object"},
    "split_ratio": {"name": "Split ratio", "value": 0.45, "min": 0, "max": 1,
                    "tooltip": "Higher splits more touching objects"},
    "min_certainty": {"name": "Least certainty", "value": 0.0, "min": 0, "max": 1,
                      "tooltip": "Objects whose mean chance of being one is lower are dropped"},
    "min_area": {"name": "Smallest area", "value": 0, "min": 0,
                 "tooltip": "Pixels; smaller ones are dropped"},
    "max_hole": {"name": "Largest hole", "value": 0, "min": 0,
                 "tooltip": "Pixels; smaller holes are filled"},
}  # fmt: skip


@dataclass
class Imported:
    """A package in our words.

    Parameters
    ----------
    manifest
        The manifest's values; its location is the weights' name in the package, its `config` empty.
    config
        What the runner reads besides: axes, steps, output.
    input, output
        The described input and output that are used.
    notes
        What a reader must know, a sentence each.
    """

    manifest: Values
    config: Values
    input: Values
    output: Values
    notes: list[str] = field(default_factory=list)


def translate(
    model: Values,
    *,
    task: str = "everything",
    labels: str | None = None,
    output: str | None = None,
    short_name: str | None = None,
) -> Imported:
    """The manifest of a description.

    Parameters
    ----------
    model
        The description in format 0.5, as JSON values.
    task
        A key of TASK_NAMES.
    labels
        One of `RULE_PARAMS`, to make labels; if left out, the result is the package's maps.
    output
        Name of the output to use; the first if left out.
    short_name
        Name of the manifest; the package's own if left out.

    Raises
    ------
    ProblemsError
        Naming all that can't be done here exactly (65), or isn't there (2).
    """
    notes: list[str] = []
    given, result, number = _tensors(model, output)
    made = _all(
        weights=lambda: _weights(model),
        axes=lambda: (*layouts(given, result), tile_spec(given, result, bool(labels), notes)),
        before=lambda: _before(given, notes),
        after=lambda: _steps(result, "postprocessing"),
    )
    runner, weights = made["weights"]
    layout, output_layout, tile = made["axes"]
    normalisation, before = made["before"]
    config = {
        "before": before,
        "after": made["after"],
        "output": number,
        "dtype": _dtype(given) if runner == "torchscript" else None,
        "postprocess": labels,
    }
    orders = {"layout": layout, "output_layout": output_layout}
    short = short_name or _slug(_own_name(model))
    manifest = {
        **_identity(model, short),
        "runner": runner,
        "config": "",
        "params": [{**PARAM_FIELDS[n], "arg_name": n} for n in RULE_PARAMS.get(labels or "", ())],
        "spec": {**tile, **_channels(given), **normalisation, **_result(result, labels)},
        "versions": {str(model.get("version") or "v1"): _version(model, short, task, weights)},
    }
    said = {name: value for name, value in config.items() if value}
    return Imported(manifest, {**orders, **said}, given, result, notes)


def _all(**parts: Callable[[], object]) -> Values:
    """What each part comes to, or the problems of all."""
    made: Values = {}
    problems: list[TilewrightError] = []
    for name, part in parts.items():
        try:
            made[name] = part()
        except ProblemsError as several:
            problems += several.problems
        except TilewrightError as problem:
            problems.append(problem)
    if problems:
        raise ProblemsError(problems)
    return made


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:50]


# who and what


def _own_name(model: Values) -> str:
    return str(model.get("id") or model["name"]).rpartition("/")[2]


def _identity(model: Values, short: str) -> Values:
    metadata = {
        "description": model.get("description") or model["name"],
        "url": next((str(link) for link in model["links"] if "://" in str(link)), None),
        "repo": model.get("git_repo"),
        "pubs": [_publication(c) for c in model["cite"]],
        "authors": [_author(a) for a in model["authors"]],
    }
    return {
        "name": model["name"],
        "short_name": short,
        "metadata": {k: v for k, v in metadata.items() if v},
        "license": str(model.get("license") or ""),
    }


def _publication(cited: Values) -> Values:
    doi = cited.get("doi")
    url = cited.get("url") or (f"https://doi.org/{doi}" if doi else "")
    return {"title": cited["text"], "info": "Cited by the package", "url": str(url)} | (
        {"doi": str(doi)} if doi else {}
    )


def _author(person: Values) -> Values:
    named = {k: person.get(k) for k in ("name", "affiliation", "email", "orcid")}
    return {k: str(v) for k, v in {**named, "github": person.get("github_user")}.items() if v}


def _version(model: Values, short: str, task: str, weights: Values) -> Values:
    where: Values = {"location": weights["source"]}
    where |= {"sha256": weights["sha256"]} if weights.get("sha256") else {}
    release = str(model.get("version") or "0")
    return {"model_name": short, "release": release, "tasks": {task: {"locations": [where]}}}


def _weights(model: Values) -> tuple[str, Values]:
    """The runner, and the file it takes."""
    there = {name: entry for name, entry in model["weights"].items() if entry}
    for name in FORMATS:
        if name in there and not there[name].get("external_data"):
            return name, there[name]
    if "onnx" in there:
        raise cannot("its ONNX weights are in two files", "Save them as one.")
    raise cannot(
        f"its weights are {' and '.join(sorted(there))} only, which need the package's own code",
        "Ask its authors for ONNX or TorchScript, or write a script (docs/adding-a-model.md).",
    )


# tensors


def _tensors(model: Values, output: str | None) -> tuple[Values, Values, int]:
    """The only input, and the output that is asked for, with its number."""
    inputs, outputs = model["inputs"], model["outputs"]
    if len(inputs) != 1:
        found = ", ".join(i["id"] for i in inputs)
        raise cannot(f"it takes {len(inputs)} inputs ({found}), and a model here takes one")
    names = [o["id"] for o in outputs]
    if output is not None and output not in names:
        raise TilewrightError(
            f"--output {output}: the package has no such output.",
            fix=f"Choose from: {', '.join(names)}.",
            code=USAGE,
        )
    number = names.index(output) if output else 0
    return inputs[0], outputs[number], number


# values


def _channels(given: Values) -> Values:
    names = _channel_names(given) or ["channel"]
    rgb = [n.lower()[:1] for n in names] == ["r", "g", "b"]
    several = {"channel_names": names} if len(set(names)) == len(names) else {}
    return {"num_channels": len(names), **several, "color_space": "RGB" if rgb else "MULTI"}


def _channel_names(tensor: Values) -> list[str]:
    axes = [a for a in tensor["axes"] if a["type"] == "channel"]
    return [str(n) for n in axes[0]["channel_names"]] if axes else []


def _result(result: Values, labels: str | None) -> Values:
    """What comes out, and how tiles become one image."""
    common = {"equivalence": "approx", "precision": "fp32"}
    if labels:
        policy = "keep" if labels == "argmax" else "match"
        return {"output_kind": "labels", "merge": {"policy": policy}, **common}
    names = _channel_names(result)
    classes = {"classes": names} if len(set(names)) == len(names) > 0 else {}
    return {"output_kind": "map", **classes, "merge": {"policy": "core"}, **common}


def _before(given: Values, notes: list[str]) -> tuple[Values, list[Values]]:
    """The spec's fields and the runner's steps that make the package's preprocessing."""
    normalisation: Values = {}
    first, *rest = given["preprocessing"] or [{"id": "ensure_dtype", "kwargs": {"dtype": ""}}]
    if first["id"] != "ensure_dtype":
        rest = [first, *rest]
    elif not _is_float(first):
        dtype = first["kwargs"]["dtype"]
        notes.append(f"The package is for pixels of {dtype}; others are passed as they are.")
    found: list[Values] = []
    problems = []
    for step in rest:
        try:
            alone = not normalisation and not found
            if step["id"] == "fixed_zero_mean_unit_variance" and alone:
                normalisation = _fixed(step["kwargs"], given)
            elif step["id"] in ("zero_mean_unit_variance", "scale_range") and alone:
                normalisation = {"normalization": _normalization(step, given, notes)}
            else:
                found += _pointwise(step, given)
        except TilewrightError as problem:
            problems.append(problem)
    if problems:
        raise ProblemsError(problems)
    return normalisation, found


def _steps(tensor: Values, name: str) -> list[Values]:
    return [s for step in tensor[name] for s in _pointwise(step, tensor)]


def _pointwise(step: Values, tensor: Values) -> list[Values]:
    """The step as the runner takes it; none where it changes nothing."""
    name = step["id"]
    kwargs = {k: v for k, v in (step.get("kwargs") or {}).items() if v is not None}
    axis = kwargs.pop("axis", None)
    if name not in POINTWISE:
        late = " after other steps" * (name in ("zero_mean_unit_variance", "scale_range"))
        raise cannot(f"{tensor['id']}'s step {name}{late} isn't there")
    if name == "ensure_dtype" and _is_float(step):
        return []
    if axis is not None and axis not in [a["id"] for a in tensor["axes"] if a["type"] == "channel"]:
        raise cannot(f"{tensor['id']}'s step {name} is along {axis}; only channels are there")
    if name == "clip" and {"min_percentile", "max_percentile"} & set(kwargs):
        raise cannot(f"{tensor['id']}'s step clip is at percentiles, which isn't there")
    return [{"id": name, "kwargs": kwargs}]


def _is_float(step: Values) -> bool:
    return str(step["kwargs"]["dtype"]) in ("", "float32", "float64")


def _fixed(kwargs: Values, given: Values) -> Values:
    """`mean` and `std`, one a channel."""
    _pointwise({"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}, given)  # its axis
    count = len(_channel_names(given)) or 1
    values = {k: kwargs[k] for k in ("mean", "std")}
    return {k: v if isinstance(v, list) else [v] * count for k, v in values.items()}


def _normalization(step: Values, given: Values, notes: list[str]) -> Values:
    """Of each channel over the image; what reaches further is refused."""
    name, kwargs = step["id"], step["kwargs"]
    kinds = {a["id"]: a["type"] for a in given["axes"]}
    over = set(kwargs.get("axes") or kinds)
    if kwargs.get("axes") and any(kinds[a] == "batch" for a in over):
        notes.append("The package normalises over a whole dataset; here it is over each image.")
    left = {a for a, kind in kinds.items() if kind == "space"} - over
    joint = any(kinds[a] == "channel" for a in over) and len(_channel_names(given)) > 1
    if left or joint:
        what = "over all channels together" if joint else f"apart along {', '.join(sorted(left))}"
        raise cannot(f"{given['id']}'s step {name} is {what}, which isn't there")
    if kwargs["eps"] > MOST_EPS:
        raise cannot(
            f"{given['id']}'s step {name} has eps {kwargs['eps']}, and at most {MOST_EPS} is there"
        )
    if kwargs.get("reference_tensor") not in (None, given["id"]):
        raise cannot(f"{given['id']}'s step {name} has another reference tensor")
    if name == "zero_mean_unit_variance":
        return {"method": "zscore", "scope": "image"}
    low, high = kwargs["min_percentile"], kwargs["max_percentile"]
    return {"method": "percentile", "low": low, "high": high, "scope": "image"}


def _dtype(given: Values) -> str:
    """What a TorchScript network's input holds: the last step says."""
    last = given["preprocessing"][-1:]
    named = [str(step["kwargs"]["dtype"]) for step in last if step["id"] == "ensure_dtype"]
    return named[0] if named else "float32"
