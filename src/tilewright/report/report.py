"""What a run came to: run.json for programs and report.html, one file by itself, for people.

Works with whatever is there: nothing merged, no trace, a trace that lacks its last lines. How the
page looks is in `report.html.j2`; the pictures are MERGE's.
"""

from __future__ import annotations

import base64
import json
import math
import platform
import shlex
import socket
import statistics
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from tilewright import ROOT, __version__
from tilewright.contract.jobs import Recipe
from tilewright.contract.spec import ModelSpec
from tilewright.environments.interpreters import home
from tilewright.errors import TilewrightError
from tilewright.merge.measure.seam import SBE_TARGET
from tilewright.plan.params import Params
from tilewright.registry.manifest import TASK_NAMES
from tilewright.registry.registry import Registry

from .timings import collect
from .trace import FAILED, Task, read_trace, sentence

Facts = dict[str, Any]
"""Part of run.json."""

PICTURES = 24  # images shown by a picture; the others are in the table
PICTURE_BYTES = 48 << 20  # of all pictures together, so that a browser opens the page at once
SEAM_ZOOM = 3  # picture pixels per model pixel in MERGE's pictures of seams
STEPS = {
    "PLAN": "checks parameters and image headers, cuts jobs",
    "ENV": "builds the model's environment",
    "FETCH": "downloads the model's weights",
    "SCAN": "reads a big image's statistics",
    "PREDICT": "runs the model on tiles",
    "MERGE": "joins tiles, measures objects, writes stores",
    "EXPORT": "writes them in other formats",
}
"""Every step before this one, in the order they run in."""
FOR_ALL = ("ENV", "FETCH")  # no image has a result when one of them fails


def write_report(plan: Path, recipe: Path, merged: Path, context: Facts, out: Path) -> None:
    """Write report.html and run.json, whether or not anything was merged.

    Parameters
    ----------
    plan, recipe
        What PLAN wrote.
    merged
        Folder of ``merged-<group>/`` folders, each a merged.json and its pictures, and of
        ``exported-<group>/`` with what wasn't exported; may be missing.
    context
        ``params, launch_dir, work_dir, trace, nextflow`` of the run, as the workflow gives them.
    out
        The folder both files go into.
    """
    planned = json.loads(plan.read_text(encoding="utf-8"))
    made_by = Recipe.load(recipe)
    results = read_merged(merged)
    run = describe(planned, made_by, results, context)
    text = json.dumps(run, indent=2, ensure_ascii=False) + "\n"
    (out / "run.json").write_text(text, encoding="utf-8")
    page = render(run, made_by, cards(run, results), publications(planned))
    (out / "report.html").write_text(page, encoding="utf-8")


# What every group came to


@dataclass(frozen=True)
class Result:
    """What MERGE says of one image, and the folder its pictures are in."""

    facts: Facts
    folder: Path


def read_merged(folder: Path) -> dict[str, Result]:
    """Every merged image, by its id; one that couldn't be exported says why."""
    found = {
        facts["id"]: Result(facts, path.parent)
        for path in sorted(folder.glob("*/merged.json"))
        for facts in json.loads(path.read_text(encoding="utf-8"))["images"]
    }
    for path in sorted(folder.glob("*/exported.json")):
        for failed in json.loads(path.read_text(encoding="utf-8"))["failed"]:
            result = found[failed["id"]]
            found[failed["id"]] = Result({**result.facts, "why": failed["why"]}, result.folder)
    return found


# What every task came to


def times(tasks: list[Task]) -> Facts:
    """Per step: tasks, how many were cached or failed, and the seconds of those that ran now."""
    known = list(STEPS)
    order = sorted({t.step for t in tasks}, key=lambda s: (known.index(s) if s in known else 99, s))
    return {step: _step_times([t for t in tasks if t.step == step]) for step in order}


def _step_times(tasks: list[Task]) -> Facts:
    ran = [t.seconds for t in tasks if t.status != "CACHED" and t.seconds is not None]
    return {
        "tasks": len(tasks),
        "cached": sum(t.status == "CACHED" for t in tasks),
        "failed": sum(t.status in FAILED for t in tasks),
        "seconds_total": round(sum(ran, 0.0), 3),
        "seconds_median": round(statistics.median(ran), 3) if ran else None,
    }


def why_missing(group: str, tasks: list[Task], work_dir: Path) -> str:
    """Why a group has no result: the last sentence of its failed task, or where to look."""
    last = {(t.step, t.tag): t for t in tasks if t.group == group or t.step in FOR_ALL}
    failed = [t for t in last.values() if t.status in FAILED]
    if not failed:
        return "its tasks failed; the trace doesn't say which, see Nextflow's log"
    folders = [_folder(t, work_dir) for t in failed]
    sentences = [s.splitlines()[0] for f in folders if (s := sentence(f))]
    task = failed[0]
    return (
        sentences[0]
        if sentences
        else f"its tasks failed; see {folders[0]} ({task.step}, exit code {task.exit})"
    )


def _folder(task: Task, work_dir: Path) -> Path:
    """A task's work folder."""
    if task.workdir:
        return Path(task.workdir)
    found = sorted(work_dir.glob(f"{task.hash}*")) if task.hash else []
    return found[0] if found else work_dir / task.hash


# run.json


def describe(plan: Facts, recipe: Recipe, results: dict[str, Result], context: Facts) -> Facts:
    """Everything run.json says, in its order."""
    here = Path(context["launch_dir"])
    tasks = read_trace(here / context["trace"])
    images = describe_images(plan, results, tasks, here / context["work_dir"])
    failed = [_line(f"{i['id']}: {i['why']}") for i in images if i["why"]]
    result = "classes" if recipe.spec.policy == "keep" else recipe.spec.result
    return {
        "tilewright": __version__,
        "nextflow": context["nextflow"],
        **describe_start(context),
        "model": recipe.model,
        "recipe": recipe.digest,
        "made_by": recipe.made_by,
        "weights": _first(_loaded(results), plan["weights"]),
        "environment": recipe.environment,
        "launch_dir": str(here),
        "params": describe_params(plan["params"], context["params"]),
        "model_params": recipe.params,
        "result": result,
        "counts": {
            "images": len(images),
            "failed": len(failed),
            "objects": _total(images) if result == "labels" else None,
            "tiles": plan["tiles"],
        },
        "failed": failed,
        "images": images,
        "times": times(tasks),
        "measured": collect(tasks),
    }


def describe_start(context: Facts) -> Facts:
    """How a run was started and where; the launcher's words where it was used."""
    plain = {name: context.get(name) for name in ("command", "profile")}
    files = [f for f in context.get("configs", ()) if Path(f) != ROOT / "nextflow.config"]
    said = json.loads(context.get("started") or "null") or {**plain, "configs": files}
    return {**said, "host": socket.gethostname(), "python": platform.python_version()}


def _first(*known: str | None) -> str | None:
    """The first that is known; of weights, "" says that there are none."""
    return next((one for one in known if one is not None), None)


def _loaded(results: dict[str, Result]) -> str | None:
    """The digest of the weights, by the images that were made with them."""
    return _first(*(r.facts.get("weights") for r in results.values()))


def _total(images: list[Facts]) -> int:
    return sum(i["objects"] or 0 for i in images)


def describe_params(values: Facts, given: Facts) -> Facts:
    """Each parameter's value, and whether it is the user's or the default.

    Nextflow hands over its defaults among what the user gave, so a stated default is a default.
    """
    defaults = {f.alias or name: f.get_default() for name, f in Params.model_fields.items()}
    defaults |= {"env_root": str(home() / "envs"), "weights_dir": str(home() / "weights")}
    return {
        name: {
            "value": value,
            "from": "default" if given.get(name) is None or value == defaults.get(name) else "user",
        }
        for name, value in values.items()
    }


def describe_images(
    plan: Facts, results: dict[str, Result], tasks: list[Task], work_dir: Path
) -> list[Facts]:
    """Every image of the run: those in the plan, then those that PLAN left out."""
    images = []
    reasons: dict[str, str] = {}  # one look per group: a pack's images share its tasks
    for planned in plan["images"]:
        result, group = results.get(planned["id"]), planned["group"]
        if result is None and group not in reasons:
            reasons[group] = why_missing(group, tasks, work_dir)
        images.append(_image(planned, result.facts if result else {"why": reasons[group]}))
    return images + [_image(bad, {"why": bad["why"]}) for bad in plan["bad"]]


def _image(planned: Facts, merged: Facts) -> Facts:
    from_plan = ("axes", "shape", "dtype", "mpp", "z_um", "model_shape", "planes", "tiles", "grid")
    return {
        "id": planned["id"],
        "path": planned["path"],
        "fingerprint": planned.get("fingerprint"),
        "why": _line(merged["why"]) if "why" in merged else None,
        "note": merged.get("note"),
        "store": merged.get("store"),
        "objects": merged.get("objects"),
        "area_px": merged.get("area_px") or None,
        "volume_px": merged.get("volume_px") or None,
        "sbe": merged.get("sbe"),
        "map": merged.get("map"),
        "embeddings": merged.get("embeddings"),
        **{name: planned.get(name) for name in from_plan},
    }


def _line(text: str) -> str:
    """Text on one line, whatever is in a file's name."""
    return " ".join(text.split())


# report.html


def cards(run: Facts, results: dict[str, Result]) -> list[Facts]:
    """What is shown of the first images that have a result: their pictures with scale bars."""
    shown: list[Facts] = []
    size = 0
    for image in [i for i in run["images"] if i["why"] is None][:PICTURES]:
        result = results[image["id"]]
        um = um_per_model_px(image, run["params"]["region"]["value"])
        card = {
            "image": image,
            "overview": _picture(result, "overview", um, 1),
            "seam": _picture(result, "seam", um, SEAM_ZOOM),
            "seam_before": _picture(result, "seam_before", um, SEAM_ZOOM),
            "seam_at": result.facts.get("seam_at") or {},
            "mapped": _picture(result, "mapped", um, 1),
        }
        size += sum(len(p["uri"]) for p in card.values() if isinstance(p, dict) and "uri" in p)
        if shown and size > PICTURE_BYTES:
            break
        shown.append(card)
    return shown


def _picture(result: Result, role: str, um: float | None, zoom: int) -> Facts | None:
    name = result.facts.get(role)
    if not name or not (result.folder / name).is_file():
        return None
    data = (result.folder / name).read_bytes()
    width, height = (n // zoom for n in struct.unpack(">II", data[16:24]))  # PNG: the IHDR chunk
    return {
        "uri": "data:image/png;base64," + base64.b64encode(data).decode(),
        "shape": [height, width],
        "bar": scale_bar(width, um),
    }


def um_per_model_px(image: Facts, region: list[int] | None) -> float | None:
    """µm along x of one pixel of the model's resolution, or None where the image doesn't say."""
    if not image["mpp"]:
        return None
    read = image["shape"][image["axes"].index("X")]
    if region:
        read = min(region[3], read - region[1])  # the region, cut to the image
    return float(image["mpp"][1] * read / image["model_shape"][-1])


def scale_bar(width: int, um: float | None) -> Facts:
    """A bar of 1, 2 or 5 times a power of ten, at most a quarter of a picture's width.

    Parameters
    ----------
    width
        Of the picture, in pixels.
    um
        µm per pixel; None gives a bar in pixels.
    """
    whole = width * (um or 1)
    power = 10.0 ** math.floor(math.log10(whole / 4))
    length = max(n * power for n in (1, 2, 5) if n * power <= whole / 4)
    unit = "µm" if um else "px"
    return {"percent": round(100 * length / whole, 2), "text": f"{length:g} {unit}"}


def seam_sentence(image: Facts) -> str:
    """What an image's SBE means."""
    sbe = image["sbe"]
    if math.prod(image["grid"]) == 1:
        return "One tile, so there is no seam."
    if sbe is None:
        return "Too few objects touch each other for a score."
    if sbe < 0.5:
        return "Objects meet at seams less often than elsewhere: some may be joined across them."
    if sbe <= SBE_TARGET:
        return "The seams can't be seen."
    if sbe <= 2:
        return "The seams are hard to see."
    if sbe <= 5:
        return "Objects meet at seams a little more often than elsewhere: look at the picture."
    return "Objects are cut at seams: look at the picture, and try a larger tile."


def publications(plan: Facts) -> list[Facts]:
    """What the model's manifest asks to cite; none if it can't be read any more."""
    overlay = plan["params"].get("manifests")
    folders = [Path(plan["launch_dir"]) / overlay] if overlay else []
    try:
        manifest = Registry.load(*folders).manifests[plan["model"]["short_name"]]
    except (TilewrightError, KeyError):
        return []
    return [{"title": p.title, "url": p.url} for p in manifest.metadata.pubs or []]


def command(params: Facts) -> str:
    """The command that gives the same results, with what the user chose."""
    words = ["./tilewright", "run"]
    for name, param in params.items():
        if param["from"] == "user":
            words += [f"--{name}", _word(param["value"])]
    return shlex.join(words)


def _word(value: Any) -> str:
    """A parameter's value as one writes it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: float | None) -> str:
    """A number for people: thousands apart, three digits that count; a dash of None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds for people; a dash of None."""
    if seconds is None:
        return "-"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def sizes(image: Facts) -> Facts | None:
    """An image's 5th, 50th and 95th percentile of sizes, for people, and their units.

    Areas in px or volumes in voxels; `um` are the same in µm² or µm³ if the file says enough.
    """
    volumes, mpp, z_um = image["volume_px"], image["mpp"], image["z_um"] or 0
    values = volumes or image["area_px"]
    if not values:
        return None
    each = (mpp[0] * mpp[1] if mpp else 0) * (z_um if volumes else 1)
    return {
        "px": [number(a) for a in values],
        "unit": "voxels" if volumes else "px",
        "um": [number(a * each) for a in values] if each else None,
        "um_unit": "µm³" if volumes else "µm²",
    }


def found(image: Facts) -> str:
    """What an image's map or embeddings are, for people."""
    if image["embeddings"]:
        made = image["embeddings"]
        each = f"{number(made['tokens'])} tokens of " if made["tokens"] else ""
        return f"{number(made['rows'])} tiles, each {each}{number(made['dim'])} numbers"
    made = image["map"]
    sizes = " \u00d7 ".join(number(n) for n in made["shape"])
    return f"{made['axes'].upper()} {sizes}, {made['dtype']}"


def intensity(spec: ModelSpec) -> str:
    """What is done to an image's values before the model sees them, for people."""
    told = [f"stains by {spec.stain_normalization}"] if spec.stain_normalization else []
    if spec.input_range:
        told.append(f"scaled to {spec.input_range[0]:g} to {spec.input_range[1]:g}")
    if spec.mean and spec.std:
        mean, std = (", ".join(f"{n:g}" for n in values) for values in (spec.mean, spec.std))
        told.append(f"less mean {mean}, over std {std}")
    if spec.normalization:
        words = vars(spec.normalization)
        unused = ("low", "high") if spec.normalization.method == "zscore" else ()
        named = [f"{k} {words[k]}" for k in sorted(words, reverse=True) if k not in unused]
        told.append(", ".join(named))
    return "; ".join(told) or "as it is in the file"


def headline(run: Facts) -> str:
    """What a run came to, in a few words."""
    counts = run["counts"]
    good = counts["images"] - counts["failed"]
    if not good:
        return "no image has a result"
    rows = sum(i["embeddings"]["rows"] for i in run["images"] if i["embeddings"])
    what = {
        "labels": f"{_count(counts['objects'] or 0, 'object')} in ",
        "table": f"{_count(rows, 'tile')} in ",
        "map": "maps of ",
        "classes": "classes of ",
    }
    return what[run["result"]] + _count(good, "image")


def _count(value: int, word: str) -> str:
    return f"{number(value)} {word}{'' if value == 1 else 's'}"


def extent(image: Facts, deep: bool) -> list[int]:
    """Of level 0, in pixels: rows and columns, and before them slices where they are `deep`."""
    return [image["shape"][image["axes"].index(axis)] for axis in ("ZYX" if deep else "YX")]


def shell_path(path: str) -> str:
    """A relative path as one argument of a command, never an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def render(run: Facts, recipe: Recipe, shown: list[Facts], pubs: list[Facts]) -> str:
    """The page: everything that users wrote is escaped."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "number": number,
        "duration": duration,
        "sizes": sizes,
        "seam_sentence": seam_sentence,
        "extent": extent,
        "shell_path": shell_path,
        "found": found,
        "intensity": intensity,
        "quoted": repr,
        "word": _word,
    }
    return pages.get_template("report.html.j2").render(
        run=run,
        spec=recipe.spec,
        recipe=recipe,
        cards=shown,
        linked={card["image"]["id"]: n for n, card in enumerate(shown, 1)},
        task=TASK_NAMES.get(recipe.model["task"], recipe.model["task"]),
        steps=STEPS,
        sbe_target=SBE_TARGET,
        headline=headline(run),
        policy=recipe.spec.policy,
        command=command(run["params"]),
        publications=pubs,
    )
