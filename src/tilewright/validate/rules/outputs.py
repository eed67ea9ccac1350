"""Rules on the network and what comes out: patches, tokens, dimensions, precision, tasks, sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from tilewright.contract.spec import POLICIES

from .geometry import seen
from .subject import WARNING, Case, Fault, Subject

TRANSFORMERS = ("vit", "deit", "dino", "eva", "beit", "sam")
OVERFLOWS = re.compile(r"vit[_-]?(g|giant|gigantic|h|huge)\b|giant|swinv2", re.IGNORECASE)
REGISTERS = re.compile(r"reg(\d+)")
POOLED = ("cls", "patch_mean", "cls+patch_mean")
FORMS = (*POOLED, "dense", "token_sequence")
MOST_BYTES = 1e6  # float32 of one tile: 10 GB for a slide of 10,000 tiles


def is_transformer(case: Case) -> bool:
    """Whether the architecture is one of patches and tokens."""
    return any(name in case.spec.architecture.lower() for name in TRANSFORMERS)


def patches(subject: Subject) -> Iterator[Fault]:
    """A ViT has a patch_size that divides the tile; another architecture has none."""
    for case in subject.cases:
        patch, name = case.spec.patch_size, case.spec.architecture
        if is_transformer(case) and patch is None:
            message = f"architecture {name} has no patch_size"
            yield Fault(case.at("architecture"), message, "give its patch's side in px")
        if patch is None:
            continue
        if name and not is_transformer(case):
            message = f"architecture {name} has no patches, and patch_size is {patch}"
            yield Fault(case.at("patch_size"), message, "leave patch_size out")
            continue
        odd = [side for side in seen(case) if patch < 1 or side % patch]
        if odd:
            message = f"a tile of {odd[0]} px isn't a whole number of patches of {patch} px"
            yield Fault(case.at("patch_size"), message, "change tile_spec's size or patch_size")


def prefix_tokens(subject: Subject) -> Iterator[Fault]:
    """A cls output has num_prefix_tokens of 1 and more: CLS and every register."""
    for case in subject.cases:
        spec, where = case.spec, case.at("num_prefix_tokens")
        prefix = spec.num_prefix_tokens
        if not is_transformer(case):
            if spec.architecture and prefix:
                message = f"architecture {spec.architecture} has no tokens"
                yield Fault(where, message, "leave num_prefix_tokens out")
            continue
        form = spec.output_type or "cls"
        if spec.output_kind == "embedding" and "cls" in form and not prefix:
            message = f"output_type {form} takes the CLS token, and num_prefix_tokens is {prefix}"
            fix = "count CLS and registers: 1 for a plain ViT, 5 with 4 registers"
            yield Fault(where, message, fix)
        elif prefix == 1 and (registers := _registers(case)):
            message = f"the architecture has {registers} registers, and num_prefix_tokens is 1"
            yield Fault(where, message, f"write {1 + registers}", WARNING)


def _registers(case: Case) -> int:
    """Register tokens that a name gives away, as in vit_small_patch14_reg4_dinov2."""
    said = [case.spec.architecture, *(str(p.start) for p in case.choice.params)]
    return max((int(n) for text in said for n in REGISTERS.findall(text)), default=0)


def dimension(subject: Subject) -> Iterator[Fault]:
    """embedding_dim is base_dim, or twice that for cls+patch_mean."""
    for case in subject.cases:
        base, found = case.spec.base_dim, case.spec.embedding_dim
        if base is None or found is None or case.spec.output_kind != "embedding":
            continue
        wanted = base * (2 if case.spec.output_type == "cls+patch_mean" else 1)
        if found != wanted:
            form = case.spec.output_type or "cls"
            message = f"embedding_dim is {found}, and base_dim {base} makes {wanted} for {form}"
            yield Fault(case.at("embedding_dim"), message, f"write {wanted}")


def grid_is_said(subject: Subject) -> Iterator[Fault]:
    """A dense embedding has output_spatial_dims, a pooled one hasn't."""
    for case in subject.cases:
        spec, form = case.spec, case.spec.output_type or "cls"
        if spec.output_kind != "embedding":
            continue
        if form not in FORMS:
            fix = f"choose one of {', '.join(FORMS)}"
            yield Fault(case.at("output_type"), f"there is no output_type {form!r}", fix)
        elif form in POOLED and spec.output_spatial_dims is not None:
            where = case.at("output_spatial_dims")
            message = f"output_type {form} is one vector, without rows and columns"
            yield Fault(where, message, "leave output_spatial_dims out")
        elif form == "dense" and spec.output_spatial_dims is None:
            message = "output_type dense has no output_spatial_dims"
            yield Fault(case.at("output_type"), message, "give its (rows, columns)")


def grid_fits(subject: Subject) -> Iterator[Fault]:
    """output_spatial_dims are the tile's size over patch_size, or over a whole output stride."""
    for case in subject.cases:
        spec, dims = case.spec, case.spec.output_spatial_dims
        form = spec.output_type or "cls"
        if spec.output_kind != "embedding" or dims is None or form in POOLED:
            continue
        size = seen(case)
        where = case.at("output_spatial_dims")
        if spec.patch_size and spec.patch_size > 0:
            wanted = tuple(n // spec.patch_size for n in size)
            if dims != wanted and not any(n % spec.patch_size for n in size):
                message = f"output_spatial_dims are {list(dims)}, and patches make {list(wanted)}"
                yield Fault(where, message, f"write {list(wanted)}")
        elif any(d < 1 or n % d for n, d in zip(size, dims, strict=True)):
            message = f"{list(dims)} don't divide the tile of {size[0]} x {size[1]} px"
            yield Fault(where, message, "give the tile's size over the output's stride")


def precision(subject: Subject) -> Iterator[Fault]:
    """`precision` is fp32, fp16 or bf16, and fp16 isn't for networks known to overflow."""
    for case in subject.cases:
        if case.spec.precision == "fp16" and OVERFLOWS.search(case.spec.architecture):
            message = f"architecture {case.spec.architecture} is known to overflow in fp16"
            yield Fault(case.at("precision"), message, "write bf16 or fp32", WARNING)


def tasks(subject: Subject) -> Iterator[Fault]:
    """The task is one of TASK_NAMES, and it, output_kind and merge's policy go together."""
    for case in subject.cases:
        kind, name = case.spec.output_kind, case.choice.task_name
        if (name == "embed") != (kind == "embedding"):
            where = case.at("output_kind")
            message = f"the task {name} can't have output_kind {kind}"
            fix = "embed goes with embedding, and only it does"
            yield Fault(where, message, fix)
        policy = (case.spec.merge or {}).get("policy")
        known = POLICIES[case.spec.result]
        if policy is not None and policy not in known:
            message = f"merge policy {policy!r} isn't one of {kind}"
            fix = f"choose {' or '.join(known)}"
            yield Fault(case.at("merge"), message, fix)


def memory(subject: Subject) -> Iterator[Fault]:
    """A model of its own environment says min_vram_gb; a dense output is under 1 MB a tile."""
    for case in subject.cases:
        heavy = subject.manifest.environment_name != "base"
        if heavy and case.variant is None and case.spec.min_vram_gb is None:
            where = ("spec",)
            message = "min_vram_gb is missing, so a scheduler can't choose a GPU"
            yield Fault(where, message, "say how many GB of GPU memory it takes")
        dims, length = case.spec.output_spatial_dims, case.spec.embedding_dim
        if case.spec.output_kind == "embedding" and dims and length:
            size = 4 * length * math.prod(dims)
            if size > MOST_BYTES:
                message = f"a tile's output is {size / 1e6:.1f} MB, {size / 1e5:.0f} GB a slide"
                fix = "make a pooled output_type the default, and this one of its variants"
                yield Fault(case.at("output_type"), message, fix)
