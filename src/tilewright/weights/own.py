"""A user's own weights, `--weights`: a file or folder in place of what the manifest names."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from tilewright.errors import USAGE, TilewrightError
from tilewright.registry.locations import NotTaken, is_remote
from tilewright.registry.registry import OwnWeights, ResolvedModel

from .cache import digest_of, link, readable_size


def with_own(
    choice: ResolvedModel, given: str, here: Path, folder: Path, known: Collection[str]
) -> ResolvedModel:
    """A choice with a user's weights, which are linked under their digest.

    Parameters
    ----------
    choice
        Whose weights they are to be.
    given
        Their path, as the user wrote it.
    here
        What it is relative to.
    folder
        Where weights are kept.
    known
        Digests of the files that the manifest names.

    Raises
    ------
    TilewrightError
        2, when there are none, they can't be read, or the model can't have them.
    OSError
        When `folder` can't be written.
    """
    path = Path(os.path.abspath(here / given))  # noqa: PTH100  # a link keeps its name, `..` has none
    try:
        if is_remote(given):
            raise NotTaken("a path is wanted, and it is an address: download it first")
        if not choice.task.locations and not needs_file(choice):
            raise NotTaken(f"{choice.model_name} takes no weights: it brings its own")
        if readable_size(path, choice.manifest.weights_form) == 0:
            raise NotTaken("it is empty")
        sha = digest_of(path)
    except NotTaken as reason:
        raise TilewrightError(
            f"--weights {given}: {reason}.", fix=_wanted(choice), code=USAGE
        ) from None
    link(path, sha, folder)
    return replace(choice, own=OwnWeights(path, sha, published=sha in known))


def _wanted(choice: ResolvedModel) -> str:
    """What to do where the weights aren't taken."""
    if choice.manifest.weights_form == "folder":
        return f"Give the folder of a {choice.manifest.name} model, or a zip of one."
    return "Give a file of weights that this model's script reads, or leave --weights out."


def needs_file(choice: ResolvedModel) -> bool:
    """Whether a model can't do without a file: a script that only serves one, or a gated model."""
    return choice.manifest.runner is not None or choice.gated


def own_said(choice: ResolvedModel, own: OwnWeights) -> str:
    """What a user should know of a run with such weights.

    Parameters
    ----------
    choice
        The model.
    own
        Its `own`.
    """
    named = f"The weights are {own.path.name} (SHA-256 {own.sha256[:12]}…)"
    if choice.is_published:
        return f"{named}, the very file that the manifest of {choice.model_name} names."
    digests = any(where.sha256 or where.bytes for where in choice.task.locations)
    unchecked = "; its sha256 and bytes don't apply to them" if digests else ""
    return f"{named}, in place of what the manifest of {choice.model_name} names{unchecked}."
