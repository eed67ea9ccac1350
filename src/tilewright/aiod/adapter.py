"""The dialect of napari's AI OnDemand plugin (aiod-napari 0.2.2): its parameters become our plan.

It names a folder, a list of images and a hash, and looks for files by their names. Here are those
names, and what its own parameters mean; all else of a run knows nothing of it. `docs/napari.md` is
for its users.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tilewright import ROOT
from tilewright.contract.reading import read_text
from tilewright.contract.spec import ModelSpec
from tilewright.errors import USAGE, ProblemsError, TilewrightError
from tilewright.plan.inputs import Row, check_ids
from tilewright.plan.params import Folder, Text, misfit
from tilewright.plan.plan_file import PreviewPlan
from tilewright.preprocess.enhance import PrepStep, checked

from .previews import FOLDER, MASKS_MARK
from .sizes import axes_of, shrunk, tiled

MANIFESTS = ROOT / "manifests" / "aiod"
"""aiod-registry 0.2.0's own: what the plugin offers, by its names."""
PACK = 8  # images of a group, so that the first masks come early
PLUGIN_EXTENSIONS = """
    .264 .265 .3fr .3g2 .a64 .adp .amr .amv .apng .arw .asf .avc .avi .avs .avs2 .bay .bif .bmp
    .cdg .cgi .cif .ct .czi .dcr .dib .dip .dng .dnxhd .dv .dvd .erf .exr .fff .gif .icb .if
    .iiq .imt .ism .jfif .jif .jng .jp2 .jpg .lif .lsm .mcidas .mov .mp4 .mpo .msp .nd2 .ome.tif
    .ome.tiff .ome.zarr .ozx .pcx .pdf .png .ppm .ps .spider .tif .tiff .xvthumb .zarr .zif .zip
""".split()  # noqa: SIM905 - as bioio lists them
"""What bioio's readers take beside aiod-utils 0.2.0: less one of these, a name is its stem."""
SIZE_COLUMNS = {"Z": "num_slices", "Y": "height", "X": "width", "C": "channels"}
SPLITS = ("img_path", *SIZE_COLUMNS.values(), "dtype", "image_id", "prep_hash", "stack_idx",
          "start_h", "end_h", "start_w", "end_w", "start_d", "end_d")  # fmt: skip


def _three(value: Any) -> Any:
    """`2,auto,1` as three values."""
    return tuple(word.strip() for word in str(value).split(","))


def _auto(value: Any) -> Any:
    return None if value in ("auto", "0") else value


Count = Annotated[Annotated[int, Field(ge=1, le=100)] | None, BeforeValidator(_auto)]
Share = Annotated[float, Field(ge=0, le=0.5)]


class Asked(BaseModel):
    """The plugin's parameters, as its params file has them; along height, width and depth."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    root_dir: Folder
    img_dir: Folder
    model: Text
    model_type: Text
    param_hash: Annotated[Text, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]
    num_substacks: Annotated[tuple[Count, Count, Count], BeforeValidator(_three)] = (None,) * 3
    overlap: Annotated[tuple[Share, Share, Share], BeforeValidator(_three)] = (0.0, 0.0, 0.0)
    iou_threshold: float = 0.8
    output_format: Literal["rle", "tiff"] = "rle"
    output_mask_type: Literal["auto", "binary", "instance"] = "auto"
    preprocess: list[Any] | None = None
    postprocess: bool = False


OWN = tuple(name for name in Asked.model_fields if name not in ("model", "model_type"))
"""The parameters that only the plugin has."""


@dataclass(frozen=True)
class Listed:
    """An image of the plugin's list: its path, its sizes by axis, and its line."""

    path: Path
    sizes: dict[str, int]
    line: dict[str, str]


@dataclass(frozen=True)
class Plugin:
    """A run that the plugin asks for: its parameters and its list of images, read once."""

    asked: Asked
    images: tuple[Listed, ...]

    @property
    def masks(self) -> Path:
        """The folder in which the plugin looks for masks."""
        return self.cache / self.asked.model / f"{self.asked.model_type}_masks"

    @property
    def cache(self) -> Path:
        """The plugin's own folder."""
        return Path(self.asked.root_dir) / "aiod_cache"

    @property
    def sets(self) -> list[tuple[PrepStep, ...]]:
        """The preprocessing sets, each once; none at all is one without steps."""
        found = map(checked, self.asked.preprocess or [()])
        return list({prep_hash(steps): steps for steps in found}.values())

    @property
    def stem(self) -> str:
        """What follows an image's name in those of its masks."""
        return MASKS_MARK + self.asked.param_hash

    @property
    def previews(self) -> Path:
        """Where previews are written before they appear among the masks."""
        return self.cache / "splits" / f"{FOLDER}{self.asked.param_hash}"

    @property
    def manifests(self) -> tuple[Path, ...]:
        """What the plugin offers, over ours; a site's own add to it."""
        return (MANIFESTS,)

    def previews_made(self) -> PreviewPlan:
        """What the run's end needs to remove previews: two folders, and what is in their names."""
        return PreviewPlan(str(self.previews), str(self.masks), mark=f"{self.stem}_x")

    def params(self, given: dict[str, object]) -> dict[str, Any]:
        """All of the run's parameters, in our own terms."""
        ours = {k: v for k, v in given.items() if k not in OWN}
        results = Path(self.asked.root_dir) / "results" / self.asked.param_hash
        pack = min(PACK, int(str(ours.get("pack") or PACK)))
        fixed = {"input": self.asked.img_dir, "outdir": str(results), "pack": pack}
        return ours | fixed

    def rows(self) -> list[Row]:
        """Every image once per preprocessing set, in the order of their names."""
        found = [
            Row(
                image.path,
                named(image.path, steps),
                axes=axes_of(image.path, image.sizes),
                mask="none",
                prep=steps or None,
            )
            for image in self.images
            for steps in self.sets
        ]
        check_ids(found)
        return sorted(found, key=lambda row: row.id)

    def spec(self, spec: ModelSpec) -> ModelSpec:
        """The model's spec, with as many tiles as were asked for and slices joined if they were.

        Raises
        ------
        TilewrightError
            When the model gives something else than labels.
        """
        if spec.result != "labels":
            raise TilewrightError(
                f"{spec.model_name} gives {spec.gives}, and the plugin shows labels.",
                fix="Run it by ./tilewright run.",
                code=USAGE,
            )
        if self.asked.postprocess and spec.policy == "match" and "z" not in spec.tile_spec.axes:
            spec = replace(spec, merge={**(spec.merge or {}), "link_z": "iou"})
        extents = self.extents()
        wanted = {
            axis: (count, share, extents[axis])
            for axis, count, share in zip(
                "yxz", self.asked.num_substacks, self.asked.overlap, strict=True
            )
            if axis in spec.tile_spec.axes
        }
        return replace(spec, tile_spec=tiled(spec.tile_spec, wanted))

    def extents(self) -> dict[str, int]:
        """The greatest extent of the run's images along z, y and x, after preprocessing."""
        return {
            axis.lower(): max(
                shrunk(i.sizes[axis], axis, steps) for i in self.images for steps in self.sets
            )
            for axis in "ZYX"
        }


def recognised(given: dict[str, object]) -> Plugin | None:
    """The plugin's run, if these parameters are its; its list of images is read here.

    Raises
    ------
    ProblemsError
        Naming every parameter of its own that can't be, or what is wrong with its list.
    """
    if not any(given.get(name) is not None for name in ("root_dir", "img_dir", "param_hash")):
        return None
    try:
        asked = Asked.model_validate({k: v for k, v in given.items() if v is not None})
        for steps in asked.preprocess or ():
            checked(steps)
    except ValidationError as error:
        raise ProblemsError([_problem(fault) for fault in error.errors()]) from None
    return Plugin(asked, tuple(listed(Path(asked.img_dir))))


def _problem(fault: Any) -> TilewrightError:
    value = "" if fault["type"] == "missing" else f" {fault['input']!r}"
    return TilewrightError(
        f"The plugin's parameter {fault['loc'][0]}{value}: {misfit(fault)}.",
        fix="Tilewright takes those of aiod-napari 0.2.2; start the run from it again.",
        code=USAGE,
    )


def listed(sheet: Path) -> list[Listed]:
    """The images of the plugin's CSV.

    Raises
    ------
    TilewrightError
        When it can't be read, or a column or number is missing.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(read_text(sheet))))
        found = [
            Listed(
                Path(line["img_path"]),
                {axis: int(float(line[column])) for axis, column in SIZE_COLUMNS.items()},
                line,
            )
            for line in lines
        ]
    except (OSError, ValueError, OverflowError, KeyError, TypeError) as error:
        raise TilewrightError(
            f"{sheet}: isn't the plugin's list of images ({error}).",
            fix="Start the run from the plugin again.",
        ) from None
    if not found:
        raise TilewrightError(f"{sheet}: has no images.", fix="Choose some in the plugin.")
    return found


# Names


def image_id(path: Path) -> str:
    """An image's name in those of its masks: ``a.ome.tif`` is ``a_ome_tif``."""
    known = (
        e for e in sorted(PLUGIN_EXTENSIONS, key=len, reverse=True) if path.name.lower().endswith(e)
    )
    ending = next(known, path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    return f"{stem}_{path.name[len(stem) :].lstrip('.').replace('.', '_')}"


def named(path: Path, steps: Sequence[PrepStep]) -> str:
    """The same after a preprocessing set, which adds its hash."""
    added = prep_hash(steps)
    return f"{image_id(path)}_{added}" if added else image_id(path)


def prep_hash(steps: Sequence[PrepStep]) -> str:
    """Eight hex digits that name a preprocessing set; none for the empty one."""
    text = "_".join(
        "-".join([step["name"], *(f"{k}={_bare(v)}" for k, v in step["params"].items())])
        for step in steps
    )
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8] if text else ""


def _bare(value: Any) -> str:
    return str(value).translate(str.maketrans("", "", " []()"))
