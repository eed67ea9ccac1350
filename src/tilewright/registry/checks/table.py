"""Every check of a manifest, in the order of its number; docs/validate.md has the same table.

PLAN refuses a model with an error that concerns the run, before any task; `validate` tells all.
"""

from __future__ import annotations

from . import geometry, identity, outputs, pixels, scripts
from .target import ERROR, REGISTRY, RUN, WARNING, Rule

STATIC = (
    Rule("S1", ERROR, REGISTRY, identity.unique_names),
    Rule("S2", ERROR, REGISTRY, identity.release_is_immutable, "compared with `--base`"),
    Rule("S3", WARNING, REGISTRY, identity.digests,
         "an error for a location that `--base` hasn't; a file that comes along needs none"),
    Rule("S4", ERROR, REGISTRY, identity.pinned_locations,
         "a gated file's missing commit is a warning"),
    Rule("S5", ERROR, REGISTRY, identity.paths,
         "not for a site's manifests; no scope is a warning"),
    Rule("S6", ERROR, REGISTRY, identity.licence),
    Rule("S7", ERROR, REGISTRY, identity.never_downloaded),
    Rule("S8", ERROR, RUN, geometry.sizes),
    Rule("S9", ERROR, RUN, geometry.whole_pixels),
    Rule("S10", ERROR, RUN, geometry.resolution,
         "supported_mpp counts within the tolerance; outside 0.1 to 10 µm, a level and a "
         "magnification are warnings; a run reads at any, and takes any tolerance"),
    Rule("S11", ERROR, RUN, pixels.lengths),
    Rule("S12", ERROR, RUN, pixels.spread),
    Rule("S13", ERROR, RUN, pixels.scale),
    Rule("S14", WARNING, RUN, pixels.rounded),
    Rule("S15", ERROR, RUN, pixels.resampling, "an antialias that does nothing stops no run"),
    Rule("S16", ERROR, RUN, pixels.colour),
    Rule("S17", WARNING, RUN, pixels.stain_densities),
    Rule("S18", ERROR, RUN, pixels.stain),
    Rule("S19", ERROR, RUN, outputs.patches, "a run refuses embeddings of half patches"),
    Rule("S20", ERROR, RUN, outputs.prefix_tokens,
         "registers in a name are a warning; a run refuses num_prefix_tokens 0"),
    Rule("S21", ERROR, RUN, outputs.dimension),
    Rule("S22", ERROR, RUN, outputs.grid_is_said, "embeddings only; a run refuses unknown types"),
    Rule("S23", ERROR, RUN, outputs.grid_fits, "embeddings only"),
    Rule("S24", ERROR, RUN, outputs.precision, "overflow is a warning"),
    Rule("S25", ERROR, RUN, geometry.resized, "one that does nothing stops no run"),
    Rule("S26", ERROR, RUN, geometry.axes, "a run puts a missing C first"),
    Rule("S27", ERROR, RUN, geometry.margins,
         "an `exact` model says a receptive_field that context covers"),
    Rule("S28", ERROR, REGISTRY, scripts.parameters),
    Rule("S29", ERROR, RUN, outputs.tasks),
    Rule("S30", ERROR, REGISTRY, scripts.script,
         "a runner may ask (`params.get`) for what a manifest doesn't declare"),
    Rule("S31", WARNING, REGISTRY, identity.words, "unknown keys are an error, at level 0"),
    Rule("S32", WARNING, REGISTRY, outputs.memory, "a model in `base` runs without a GPU"),
)  # fmt: skip
