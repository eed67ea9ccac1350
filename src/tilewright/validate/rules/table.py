"""Every rule, in the order of its number; docs/validate.md has the same table."""

from __future__ import annotations

from . import geometry, identity, outputs, pixels, runtime, scripts
from .subject import ERROR, WARNING, Fault, Rule

Named = tuple[str, Fault]
"""A rule's id, and a fault."""

STATIC = (
    Rule("S1", ERROR, identity.unique_names),
    Rule("S2", ERROR, identity.release_is_immutable, "compared with `--base`"),
    Rule("S3", WARNING, identity.digests, "an error for a location that `--base` hasn't; a file "
         "that comes along needs none; `bytes` is a choice"),
    Rule("S4", ERROR, identity.pinned_locations, "a gated file's missing commit is a warning"),
    Rule("S5", ERROR, identity.paths, "not for a site's manifests; no scope is a warning"),
    Rule("S6", ERROR, identity.licence),
    Rule("S7", ERROR, identity.never_downloaded, "`[]` alone; no `auto_download`, `provided_by`"),
    Rule("S8", ERROR, geometry.sizes, "there is no `sparse`"),
    Rule("S9", ERROR, geometry.whole_pixels, "there is no `px_size`"),
    Rule("S10", ERROR, geometry.resolution, "outside 0.1 to 10 µm, a level and a magnification are "
         "warnings"),
    Rule("S11", ERROR, pixels.lengths),
    Rule("S12", ERROR, pixels.spread),
    Rule("S13", ERROR, pixels.scale),
    Rule("S14", WARNING, pixels.rounded, "the source's config isn't here to compare with"),
    Rule("S15", ERROR, pixels.resampling, "there is one resampler, so no `resize_backend`; labels "
         "are never resampled"),
    Rule("S16", ERROR, pixels.colour, "RGB, too"),
    Rule("S17", WARNING, pixels.stain_densities, "mean and std are always in the model's order; "
         "tiles are always float"),
    Rule("S18", ERROR, pixels.stain),
    Rule("S19", ERROR, outputs.patches),
    Rule("S20", ERROR, outputs.prefix_tokens, "registers in a name are a warning"),
    Rule("S21", ERROR, outputs.dimension),
    Rule("S22", ERROR, outputs.grid_is_said, "embeddings only; the token count is R3's"),
    Rule("S23", ERROR, outputs.grid_fits, "embeddings only"),
    Rule("S24", ERROR, outputs.precision, "overflow is a warning"),
    Rule("S25", ERROR, geometry.resized, "resize and crop may change the size that is seen"),
    Rule("S26", ERROR, geometry.axes, "a 2D model's planes are always looped"),
    Rule("S27", ERROR, geometry.margins, "band and context in place of halo; `exact` models say a "
         "receptive_field that context covers"),
    Rule("S28", ERROR, scripts.parameters),
    Rule("S29", ERROR, outputs.tasks),
    Rule("S30", ERROR, scripts.script, "the source is read: a runner may ask (`params.get`) for "
         "what a manifest doesn't declare"),
    Rule("S31", WARNING, identity.words, "unknown keys are an error, at level 0"),
    Rule("S32", WARNING, outputs.memory, "a model in `base` runs without a GPU"),
)  # fmt: skip


LOAD = (
    Rule("R1", ERROR, runtime.loads),
    Rule("R2", ERROR, runtime.declared, "by what comes out: a script tells no patch_size"),
    Rule("R3", ERROR, runtime.token_count),
)
"""On a model that runs; level 4."""

DRY_RUN = (
    Rule("R4", ERROR, runtime.shapes),
    Rule("R5", ERROR, runtime.values, "no object in two pictures is a warning"),
    Rule("R6", ERROR, runtime.batches, "another result when asked again is a warning"),
    Rule("R7", ERROR, runtime.channel_order, "the golden's order is R9's"),
    Rule("R8", ERROR, runtime.normalised),
    Rule("R10", ERROR, runtime.hard_tiles),
)
"""On sample tiles; level 5."""

GOLDEN = (Rule("R9", ERROR, runtime.golden, "none is a warning"),)
"""On the golden tile; level 6."""


def docs() -> str:
    """The table of docs/validate.md, in Markdown."""
    running = sorted((*LOAD, *DRY_RUN, *GOLDEN), key=lambda r: int(r.id[1:]))
    rows = [(r.id, r.severity, r.what, r.differs) for r in (*STATIC, *running)]
    head = ["| id | severity | what must hold | differs from the study |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
