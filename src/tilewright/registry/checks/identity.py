"""Rules on who a model is and where it comes from: names, releases, locations, licence, words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tilewright.registry.locations import is_loopback, shown
from tilewright.registry.manifest import Location, Publication
from tilewright.registry.registry import local_path

from .target import ERROR, WARNING, Case, Target, Violation

HINTS = ("weights_source", "license", "batch_size", "tiles_per_task", "min_vram_gb", "device",
         "variants")  # fmt: skip
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_LOCATION = re.compile(r"hf:[^/@\s]+/[^/@\s]+(@(?P<revision>[^/]+))?(/.+)?")
SECRETS = {"token", "access_token", "key", "apikey", "api_key", "password", "signature", "sig"}
HOME_FOLDERS = ("/home/", "/Users/", "/root/", "~")
SHORTEST = 20  # characters of a description


def unique_names(target: Target) -> Iterator[Violation]:
    """Each `model_name` is one version's, and each version's `slug` is its own in the manifest."""
    slugs: dict[str, str] = {}
    for name, version in target.manifest.versions.items():
        first = slugs.setdefault(version.slug, name)
        if first != name:
            at = ("versions", name, "slug")
            yield Violation(
                at, f"{name} has the slug {version.slug!r} of {first}", "give it another"
            )
        own = f"{target.document.path}, {name}"
        owners = [owner for owner, _ in target.names.get(version.model_name or "", [])]
        if own not in owners:  # a site's manifest replaces this one
            continue
        for other in owners:
            if other != own:
                at = ("versions", name, "model_name")
                message = f"{version.model_name} is also the model_name of {other}"
                yield Violation(at, message, "choose another")


def contract(case: Case) -> dict[str, Any]:
    """What a release promises: what changes numbers, without hints on how to compute them."""
    spec = {k: v for k, v in case.spec.to_dict().items() if k not in HINTS}
    return {
        **spec,
        "params": {p.arg_name: p.start for p in case.choice.params},
        "digests": sorted({w.sha256 for w in case.choice.task.locations if w.sha256}),
        "locations": [w.location for w in case.choice.task.locations],
    }


def release_is_immutable(target: Target) -> Iterator[Violation]:
    """A published `release` keeps its weights, its spec and its parameters' defaults."""
    for case in target.plain():
        before = _published(target, case)
        if before is None:
            continue
        now = contract(case)
        same = not (set(before["digests"]) and set(now["digests"]))
        changed = [k for k in now if k not in ("digests", "locations") and now[k] != before[k]]
        if not same and not set(before["digests"]) & set(now["digests"]):
            changed.append("sha256")
        if changed:
            release = case.choice.version.release
            yield Violation(
                ("versions", case.choice.version_key, "release"),
                f"{case.choice.model_name} {release} is published, and its "
                f"{', '.join(sorted(changed))} changed",
                "give it a new release",
            )


def _published(target: Target, case: Case) -> dict[str, Any] | None:
    key = (case.choice.model_name, case.choice.version.release, case.choice.task_name)
    return (target.published or {}).get(key)


def digests(target: Target) -> Iterator[Violation]:
    """A location that is downloaded has a `sha256`, and all of a task have the same."""
    for case in target.plain():
        known = {w.sha256 for w in case.choice.task.locations if w.sha256}
        before = (_published(target, case) or {}).get("locations", [])
        for where, location in case.locations():
            if len(known) > 1 and location.sha256 != sorted(known)[0]:
                message = f"{shown(location.location)} has another sha256 than the task's others"
                fix = "locations of a task are copies of one file; give others a version"
                yield Violation(where, message, fix, ERROR)
            if location.sha256 is None and local_path(location) is None:
                new = target.published is not None and location.location not in before
                yield Violation(
                    where,
                    f"{shown(location.location)} has no sha256, so a changed file isn't noticed",
                    "write what `sha256sum FILE` prints",
                    ERROR if new else WARNING,
                )


def pinned_locations(target: Target) -> Iterator[Violation]:
    """A hub's location names a commit of 40 digits; a URL is https and holds no secret."""
    for case in target.plain():
        for where, location in case.locations():
            problem = _unpinned(location, target.public)
            if problem:
                # whoever has no access can't look a gated file's commit up
                unseen = case.choice.gated and location.location.startswith("hf:")
                severity = WARNING if unseen else None
                yield Violation(
                    where, f"{shown(location.location)}: {problem[0]}", problem[1], severity
                )


def _unpinned(location: Location, public: bool) -> tuple[str, str] | None:
    text = location.location
    if text.startswith("hf:"):
        found = HUB_LOCATION.fullmatch(text)
        revision = found and (found["revision"] or location.revision)
        if not found or not COMMIT.fullmatch(revision or ""):
            return "no commit is pinned", "write hf:owner/name@<40 hex digits>/file"
        return None
    if "://" not in text:
        return None
    url = urlsplit(text)
    if url.username or url.password or SECRETS & {k.lower() for k, _ in parse_qsl(url.query)}:
        return "there is a credential in it", "take it out; tokens come from the environment"
    if url.scheme != "https" and (public or not is_loopback(text)):
        return f"{url.scheme} can't be trusted", "give an https URL"
    return None


def paths(target: Target) -> Iterator[Violation]:
    """An absolute path names its site in `scope` and comes last; a home folder is nobody else's."""
    if not target.public:
        return
    for case in target.plain():
        several = len(case.choice.task.locations) > 1
        for number, (where, location) in enumerate(case.locations()):
            text = location.location
            if Path(text).is_relative_to(target.folder):
                continue  # beside a site's manifest, which named it so
            if text.startswith(HOME_FOLDERS):
                yield Violation(
                    where, f"{text} is in somebody's home", "put it where all can read it"
                )
            elif text.startswith("/") and number == 0 and several:
                fix = "put places that all can reach before it"
                yield Violation(where, f"{text} exists at one site and comes first", fix)
            elif text.startswith("/") and not location.scope:
                fix = "say which: scope: <site>, or name it in a site's own --manifests"
                yield Violation(where, f"{text} exists at one site only", fix, WARNING)
            elif ".." in text.split("/") and local_path(location) is not None:
                yield Violation(
                    where, f"{text} leads out of the repository", "give a path inside it"
                )


def licence(target: Target) -> Iterator[Violation]:
    """The licence is an SPDX id, `LicenseRef-…` or `proprietary`; gated has an `access_url`."""
    for case in target.plain():
        text = case.spec.license
        where = case.at("license")
        where = where if where[-1] == "license" else case.said("license")
        if not text:
            yield Violation(
                where, "the weights have no licence", "license: an SPDX id, as CC-BY-4.0"
            )
        elif text != "proprietary" and not _spdx(text):
            fix = "see https://spdx.org/licenses, or write LicenseRef-NAME"
            yield Violation(where, f"the licence {text!r} is no SPDX id", fix)
        if case.choice.gated and not case.choice.access_url:
            fix = "access_url: the page where one asks for access"
            yield Violation(case.said("gated"), "the weights are gated, and nobody says where", fix)


def _spdx(text: str) -> bool:
    try:
        canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return False
    return True


def never_downloaded(target: Target) -> Iterator[Violation]:
    """A task that brings its own weights says `locations: []` and nothing else."""
    for case in target.plain():
        for where, location in case.locations():
            if not location.location.strip():
                yield Violation(
                    where, "a location is empty", "for a model without weights write []"
                )
        if not case.choice.task.locations and target.manifest.runner:
            runner = target.manifest.runner
            message = f"the runner {runner} opens a file, and there is no location"
            yield Violation((*case.task, "locations"), message, "name the weights' location")


def words(target: Target) -> Iterator[Violation]:
    """The description says something, and each publication has its `doi`."""
    description = target.manifest.metadata.description
    if len(description.strip()) < SHORTEST:
        where = ("metadata", "description")
        yield Violation(where, f"the description {description!r} is short", "say what it is for")
    publications: list[Publication] = target.manifest.metadata.pubs or []
    for number, publication in enumerate(publications):
        if not publication.doi:
            yield Violation(
                ("metadata", "pubs", number),
                f"the publication {publication.title!r} has no DOI",
                "add its doi",
            )
