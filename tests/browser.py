"""A page in Chromium: opened from a file, looked at, and asked; spoken to by a pipe (DevTools)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

SECONDS = 120  # for any answer
AXE = "axe-core@4.12.1"


def chromium() -> str | None:
    """Where it is, if it is here."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def axe(folder: Path) -> str:
    """The script of axe-core, from npm."""
    done = subprocess.run(
        ["npm", "pack", "--silent", AXE],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    shutil.unpack_archive(folder / done.stdout.split()[-1], folder, "gztar", filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


class Browser:
    """Chromium without a window, and one page in it; close it after use."""

    def __init__(self, profile: Path) -> None:
        to_it, (self._from, out) = os.pipe(), os.pipe()
        words = [str(chromium()), "--headless", "--no-sandbox", "--remote-debugging-pipe"]
        words += ["--disable-gpu", f"--user-data-dir={profile}", "about:blank"]
        with (profile.parent / "chromium.log").open("w") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$0" "$@" 3<&{to_it[0]} 4>&{out}', *words],
                pass_fds=(to_it[0], out),
                stdout=log,
                stderr=log,
            )
        for end in (to_it[0], out):
            os.close(end)
        self._to, self._rest, self._number = to_it[1], b"", itertools.count(1)
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        page = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
            self._ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        os.close(self._to)
        os.close(self._from)

    def open(self, page: Path, width: int = 1280, height: int = 900, **media: str) -> float:
        """Open a file in a window of so many px; how many seconds it took comes back."""
        self.events.clear()
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        names = [f"prefers-{name}".replace("_", "-") for name in media]
        features = [{"name": n, "value": v} for n, v in zip(names, media.values(), strict=True)]
        self._ask("Emulation.setEmulatedMedia", features=features)
        begun = time.monotonic()
        self._ask("Page.navigate", url=page.absolute().as_uri())
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self._take()
        return time.monotonic() - begun

    def evaluate(self, script: str) -> Any:
        """What JavaScript comes to, or what it promises."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self._ask("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write the page as a PNG: all of it, or what the window shows."""
        found = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    @property
    def complaints(self) -> list[str]:
        """What the browser said against the page: what its policy forbids, errors of its script."""
        said = [e["params"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [s["entry"]["text"] for s in said] + [json.dumps(t) for t in thrown]

    @property
    def fetched(self) -> list[str]:
        """What it asked for, besides what is in the page."""
        asked = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [one["request"]["url"] for one in asked]
        return [url for url in urls if not url.startswith("data:")]

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._number)
        session = {"sessionId": self._session} if self._session else {}
        asked = {"id": number, "method": method, "params": params, **session}
        text = json.dumps(asked).encode() + b"\0"
        while text:
            text = text[os.write(self._to, text) :]
        while True:
            answer = self._take()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                found: dict[str, Any] = answer["result"]
                return found

    def _take(self) -> dict[str, Any]:
        """The next message; events are kept."""
        while b"\0" not in self._rest:
            more = os.read(self._from, 1 << 20)
            assert more, "Chromium has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message
