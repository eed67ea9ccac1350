"""Rules on the network and what comes out: patches, tokens, dimensions, precision, tasks, sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from tilewright.contract.spec import LINKS, ModelSpec
from tilewright.registry.manifest import TASK_NAMES
from tilewright.runtime.outputs import OUTPUT_TYPES, POLICIES

from .geometry import seen
from .target import REGISTRY, RUN, WARNING, Case, SpecCase, Target, Violation

TRANSFORMERS = ("vit", "deit", "dino", "eva", "beit", "sam")
OVERFLOWS = re.compile(r"vit[_-]?(g|giant|gigantic|h|huge)\b|giant|swinv2", re.IGNORECASE)
REGISTERS = re.compile(r"reg(\d+)")
MERGE_FIELDS = ("policy", "connectivity", "link_z")
MOST_BYTES = 1e6  # float32 of one tile: 10 GB for a slide of 10,000 tiles


def is_transformer(case: SpecCase) -> bool:
    """Whether the architecture is one of patches and tokens."""
    return any(name in case.spec.architecture.lower() for name in TRANSFORMERS)


def patches(case: SpecCase) -> Iterator[Violation]:
    """A ViT has a patch_size that divides the tile; another architecture has none."""
    patch, name = case.spec.patch_size, case.spec.architecture
    concerns = RUN if case.spec.output_kind == "embedding" else REGISTRY
    if is_transformer(case) and patch is None:
        message = f"architecture {name} has no patch_size"
        fix = "give its patch's side in px"
        yield Violation(("architecture",), message, fix, concerns=REGISTRY)
    if patch is None:
        return
    if name and not is_transformer(case):
        message = f"architecture {name} has no patches, and patch_size is {patch}"
        yield Violation(("patch_size",), message, "leave patch_size out", concerns=REGISTRY)
        if concerns == REGISTRY:
            return
    odd = [side for side in seen(case) if patch < 1 or side % patch]
    if odd:
        message = f"a tile of {odd[0]} px isn't a whole number of patches of {patch} px"
        fix = "change tile_spec's size or patch_size"
        yield Violation(("patch_size",), message, fix, concerns=concerns)


def prefix_tokens(case: SpecCase) -> Iterator[Violation]:
    """A cls output has num_prefix_tokens of 1 and more: CLS and every register."""
    spec, where, prefix = case.spec, ("num_prefix_tokens",), case.spec.num_prefix_tokens
    known = OUTPUT_TYPES.get(spec.form) if spec.output_kind == "embedding" else None
    takes_cls = known is not None and "cls" in known.parts
    if takes_cls and not prefix and (is_transformer(case) or prefix == 0):
        message = f"output_type {spec.form} takes the CLS token, and num_prefix_tokens is {prefix}"
        fix = "count CLS and registers: 1 for a plain ViT, 5 with 4 registers"
        yield Violation(where, message, fix, concerns=RUN if prefix == 0 else REGISTRY)
    elif not is_transformer(case):
        if spec.architecture and prefix:
            message = f"architecture {spec.architecture} has no tokens"
            yield Violation(where, message, "leave num_prefix_tokens out", concerns=REGISTRY)
    elif prefix == 1 and (registers := _registers(case)):
        message = f"the architecture has {registers} registers, and num_prefix_tokens is 1"
        yield Violation(where, message, f"write {1 + registers}", WARNING)


def _registers(case: SpecCase) -> int:
    """Register tokens that a name gives away, as in vit_small_patch14_reg4_dinov2."""
    params = case.choice.params if isinstance(case, Case) else []
    said = [case.spec.architecture, *(str(p.start) for p in params)]
    return max((int(n) for text in said for n in REGISTERS.findall(text)), default=0)


def dimension(case: SpecCase) -> Iterator[Violation]:
    """embedding_dim is base_dim, or twice that for cls+patch_mean."""
    base, found, form = case.spec.base_dim, case.spec.embedding_dim, case.spec.form
    known = OUTPUT_TYPES.get(form)
    if base is None or found is None or case.spec.output_kind != "embedding" or known is None:
        return
    wanted = base * len(known.parts)
    if found != wanted:
        message = f"embedding_dim is {found}, and base_dim {base} makes {wanted} for {form}"
        yield Violation(("embedding_dim",), message, f"write {wanted}")


def grid_is_said(case: SpecCase) -> Iterator[Violation]:
    """A dense embedding has output_spatial_dims, a pooled one hasn't."""
    spec, form, known = case.spec, case.spec.form, OUTPUT_TYPES.get(case.spec.form)
    if spec.output_kind != "embedding":
        return
    if known is None:
        fix = f"choose one of {', '.join(OUTPUT_TYPES)}"
        yield Violation(("output_type",), f"there is no output_type {form!r}", fix)
    elif known.result == "map" and "z" in spec.tile_spec.axes:
        message = f"output_type {form} is of a picture's patches, and its tiles are volumes"
        yield Violation(("output_type",), message, "choose a pooled one")
    elif known.pooled and spec.output_spatial_dims is not None:
        message, fix = f"output_type {form} is one vector, without rows and columns", "leave it out"
        yield Violation(("output_spatial_dims",), message, fix, concerns=REGISTRY)
    elif known.result == "map" and spec.output_spatial_dims is None:
        message, fix = f"output_type {form} has no output_spatial_dims", "give its (rows, columns)"
        yield Violation(("output_type",), message, fix, concerns=REGISTRY)


def grid_fits(case: SpecCase) -> Iterator[Violation]:
    """output_spatial_dims are the tile's size over patch_size, or over a whole output stride."""
    spec, dims = case.spec, case.spec.output_spatial_dims
    known = OUTPUT_TYPES.get(spec.form)
    if spec.output_kind != "embedding" or dims is None or known is None or known.pooled:
        return
    size = seen(case)
    where = ("output_spatial_dims",)
    if spec.patch_size and spec.patch_size > 0:
        wanted = tuple(n // spec.patch_size for n in size)
        if dims != wanted and not any(n % spec.patch_size for n in size):
            message = f"output_spatial_dims are {list(dims)}, and patches make {list(wanted)}"
            yield Violation(where, message, f"write {list(wanted)}")
    elif any(d < 1 or n % d for n, d in zip(size, dims, strict=True)):
        message = f"{list(dims)} don't divide the tile of {size[0]} x {size[1]} px"
        yield Violation(where, message, "give the tile's size over the output's stride")


def precision(case: SpecCase) -> Iterator[Violation]:
    """`precision` is fp32, fp16 or bf16, and fp16 isn't for networks known to overflow."""
    if case.spec.precision == "fp16" and OVERFLOWS.search(case.spec.architecture):
        message = f"architecture {case.spec.architecture} is known to overflow in fp16"
        yield Violation(("precision",), message, "write bf16 or fp32", WARNING)


def tasks(case: SpecCase) -> Iterator[Violation]:
    """The task is one of those that there are; it, output_kind and merge's options go together."""
    kind, task = case.spec.output_kind, case.choice.task_name if isinstance(case, Case) else ""
    if task in TASK_NAMES and (task == "embed") != (kind == "embedding"):
        message = f"the task {task} can't have output_kind {kind}"
        fix = "embed goes with embedding, and only it does"
        yield Violation(("output_kind",), message, fix, concerns=REGISTRY)
    yield from _merge(case.spec)


def _merge(spec: ModelSpec) -> Iterator[Violation]:
    """What MERGE can't do."""
    options, where = dict(spec.merge or {}), ("merge",)
    known, axes = POLICIES[spec.result], len(spec.tile_spec.axes)
    if unknown := sorted(set(options) - set(MERGE_FIELDS)):
        message = f"merge has no option {', '.join(unknown)}"
        yield Violation(where, message, f"it can have {', '.join(MERGE_FIELDS)}")
    if spec.policy not in known:
        message = f"merge policy {spec.policy!r} isn't one of {spec.result}"
        yield Violation(where, message, f"choose {' or '.join(known)}")
    reach = options.get("connectivity", 1)
    if type(reach) is not int or reach not in range(1, axes + 1):
        yield Violation(
            where, f"merge connectivity is {reach!r}", f"write a number from 1 to {axes}"
        )
    link = options.get("link_z", "none")
    if link not in LINKS:
        yield Violation(where, f"merge link_z is {link!r}", f"write {' or '.join(LINKS)}")
    elif link != "none" and not spec.links_slices:
        message = f"merge link_z {link} is for objects of a 2D model that are matched"
        yield Violation(where, message, "leave it out")


def memory(target: Target) -> Iterator[Violation]:
    """A model of its own environment says min_vram_gb or device; a dense tile is under 1 MB."""
    for case in target.cases:
        heavy = target.manifest.environment_name != "base"
        known = case.spec.device == "cpu" or case.spec.min_vram_gb is not None
        if heavy and case.variant is None and not known:
            where = ("spec",)
            message = "min_vram_gb is missing, so a scheduler can't choose a GPU"
            fix = "say how many GB of GPU memory it takes, or device: cpu"
            yield Violation(where, message, fix)
        dims, length = case.spec.output_spatial_dims, case.spec.embedding_dim
        if case.variant is None and case.spec.output_kind == "embedding" and dims and length:
            size = 4 * length * math.prod(dims)
            if size > MOST_BYTES:
                message = f"a tile's output is {size / 1e6:.1f} MB, {size / 1e5:.0f} GB a slide"
                fix = "make a pooled output_type the default, and this one of its variants"
                yield Violation(case.at("output_type"), message, fix)
