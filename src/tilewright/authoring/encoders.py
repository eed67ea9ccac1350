"""The encoders of `docs/models.md`: what each takes and gives, declared, built and by whom said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tilewright import ROOT
from tilewright.contract.spec import ModelSpec
from tilewright.registry.manifest import ENCODER_RUNNERS
from tilewright.registry.registry import Registry, ResolvedModel

FIGURES = ROOT / "benchmarks" / "zoo" / "encoders.json"
LEFT_OUT = ROOT / "manifests" / "left_out.md"
HEADS = (
    "encoder",
    "tile, px",
    "µm/px",
    "mean; std",
    "interpolation",
    "patch, prefix",
    "tokens, built",
    "gives",
    "parameters, built",
    "precision",
    "GPU, GB",
    "licence",
    "weights",
)
ABOUT = """\
## Encoders

An encoder turns each tile into a vector; `./tilewright models --task embed` lists them, those that
anyone may fetch first. Whatever is declared here is stated by somebody: each encoder's chapter says
who states what. `-` is what nobody states, or a network hasn't: natural images have no µm per
pixel, and convolutional networks no tokens.

- *tile*: what the network sees; in brackets the larger tile that it is cut from.
- *patch, prefix*: the patch's side in px; CLS and register tokens, which no mean of patches has.
- *tokens, built*: as the manifest's numbers come to, and as the network has them that was built
  from it without weights. *Parameters* are likewise those that its publisher counts, often rounded,
  some with a classifier or without positions, and those that were built, without a classifier.
- *gives*: the default `output_type` and its length; `--variant` gives others.
- *GPU*: computed from the parameters in fp32 and 2 GB besides, not measured.
- *weights*: `open`, or `gated`, where their owner must let you in first. Those in *italics* have no
  SHA-256 that anyone published: the first download is noted, and later ones are checked by it.

None of this was run with the published weights, which are gated, or weren't within reach here. What
was tested is that a network of the same arguments, two blocks deep and with random weights, gives
what its library gives, within 1e-5, and that the whole network has these tokens and parameters.
"""


def encoders(registry: Registry) -> list[ResolvedModel]:
    """The registry's choices that give embeddings and whose runner tells its network, by name."""
    own = (c for c in registry if c.manifest.runner in ENCODER_RUNNERS)
    found = (choice for choice in own if choice.task_name == "embed")
    return sorted(found, key=lambda choice: (choice.gated, choice.model_name))


def section(registry: Registry, file: Path = FIGURES) -> list[str]:
    """The page's lines on encoders; none where there are none."""
    found = encoders(registry)
    built = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not found:
        return []
    rows = [row(choice, built.get(choice.model_name, {})) for choice in found]
    lines = [f"| {' | '.join(cells)} |" for cells in (HEADS, *rows)]
    left = LEFT_OUT.read_text(encoding="utf-8").splitlines() if LEFT_OUT.is_file() else []
    rule = "|---" * len(HEADS) + "|"
    return ["", *ABOUT.splitlines(), "", lines[0], rule, *lines[1:], *(["", *left] if left else [])]


def row(choice: ResolvedModel, built: dict[str, Any]) -> tuple[str, ...]:
    """An encoder's line of the table."""
    spec = choice.spec()
    resolution = spec.tile_spec.resolution
    supported = ", ".join(f"{m:g}" for m in spec.supported_mpp or ())
    at = f"{resolution.target_mpp:g}" if resolution and resolution.target_mpp else "-"
    return (
        f"`{choice.model_name}`",
        seen(spec),
        f"{at} of {supported}" if "," in supported else at,
        f"{numbers(spec.mean)}; {numbers(spec.std)}",
        spec.interpolation,
        f"{spec.patch_size}, {spec.num_prefix_tokens}" if spec.patch_size else "-",
        f"{tokens(spec)}, {built.get('tokens') or '-'}" if spec.patch_size else "-",
        f"{spec.form}, {spec.embedding_dim}",
        f"{choice.version.parameters or '-'}, {built.get('parameters', 0) / 1e6:.1f}M",
        spec.precision,
        f"{spec.min_vram_gb or 0:g}",
        choice.license,
        weights(choice),
    )


def weights(choice: ResolvedModel) -> str:
    """How one gets at an encoder's weights."""
    said = "gated" if choice.gated else "open"
    return said if choice.sha256 else f"*{said}*"


def tokens(spec: ModelSpec) -> int:
    """Tokens of a tile, as a transformer's spec declares them."""
    height, width = (side // (spec.patch_size or 1) for side in _seen(spec))
    return (spec.num_prefix_tokens or 0) + height * width


def seen(spec: ModelSpec) -> str:
    """A tile's side, as the network sees it."""
    side, tile = _seen(spec)[0], round(spec.tile_spec.size["y"])
    return str(side) if side == tile else f"{side} ({tile})"


def _seen(spec: ModelSpec) -> tuple[int, ...]:
    return spec.seen(tuple(spec.tile_spec.pixels(spec.tile_spec.size, a) for a in "yx"))


def numbers(values: tuple[float, ...] | None) -> str:
    """Mean or std; once where all channels have the same."""
    distinct = dict.fromkeys(values or ())
    return ", ".join(f"{v:.9g}" for v in (distinct if len(distinct) == 1 else values or ()))


def stated(choice: ResolvedModel) -> list[str]:
    """The lines of a base model's chapter on who states what, its versions' own among them."""
    manifest = choice.manifest
    own = [(v.model_name, v.sources) for v in manifest.versions.values() if v.sources]
    said = [(None, manifest.sources), *own] if manifest.sources else own
    lines = [
        f"- {f'`{name}`: ' if name else ''}<{address}>: {', '.join(f'`{f}`' for f in fields)}"
        for name, sources in said
        for address, fields in sources.items()
    ]
    return ["", "Who states what:", "", *lines] if lines else []
