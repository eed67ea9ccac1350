"""Locations on the web that lie, and hubs that want the token for others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import web
from .attack import Attack, Make, image, said
from .things import MANIFEST

WHERE = "location: models/nuclei/nuclei.onnx"
HUB = "hf:owner/name@main"
GOOD = ("good", "to-other", "to-token", "length-negative", "chunks-of-1")
"""Pages that give, or may give, the file itself."""
REFUSED = ("to-", "status-", "nothing", "page", "short", "no-", "half", "chunk-")
"""How pages begin that can't be taken, whether or not a digest says what they should be."""
ZEROS = f"sha256: '{'0' * 64}'"
NAMES = {
    "dots": "..%2f..%2f..%2fmarker",
    "zero": "a%00b",
    "wide": "x" * 5000,
    "hidden": ".hidden",
    "lines": "a%0ab",
    "escape": "%1b%5b31mred",
    "backslash": "..%5cmarker",
    "dash": "-rf",
    "dollar": "$(touch marker)",
}
"""Names of files, as a URL has them."""


def _manifest(location: str) -> Make:
    """A manifest whose weights lie there; ``{url}`` is the server's."""

    def make(folder: Path) -> list[str]:
        (folder / "manifests").mkdir()
        text = MANIFEST.replace(WHERE, location.format(url=web.url()))
        (folder / "manifests" / "nuclei.yml").write_text(text)
        return said(input=image(folder), manifests="manifests", weights_dir="kept")

    return make


def _places() -> Iterator[tuple[str, str, str]]:
    """Name, location and what must be named of each."""
    sure = f"bytes: {len(web.BODY)}, sha256: {web.SHA256}"
    for page in web.PAGES:
        if page not in GOOD:
            yield f"{page} checked", f"location: '{{url}}/{page}/w.onnx', {sure}", "127.0.0.1"
        if page.startswith(("echo-", "to-")):
            yield f"hub {page}", f"location: '{HUB}/{page}', {ZEROS}", "owner/name"
        if page.startswith(REFUSED) and page not in GOOD:
            yield f"{page} unchecked", f"location: '{{url}}/{page}/w.onnx'", "127.0.0.1"
    yield "wrong digest", f"location: '{{url}}/good/w.onnx', {ZEROS}", "127.0.0.1"
    yield "wrong bytes", "location: '{url}/good/w.onnx', bytes: 5", "127.0.0.1"
    for name, path in NAMES.items():
        yield (f"name {name}", f"location: '{{url}}/other/{path}', sha256: {web.SHA256}",
               "127.0.0.1")  # fmt: skip


def attacks() -> Iterator[Attack]:
    """Every place."""
    for name, location, names in _places():
        yield Attack("web", name, _manifest(location), names, ("FETCH",))
