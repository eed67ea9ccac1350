"""A site's own manifests."""

from __future__ import annotations

from pathlib import Path


def site(folder: Path, text: str, name: str = "toy.yml") -> Path:
    """A folder with one more manifest."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder
