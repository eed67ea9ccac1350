"""What a user sees while it runs and when it is stopped; and a region, seen through a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata  # type: ignore[import-untyped]
import numpy as np
import pytest
import zarr
from running import (
    LIMIT,
    Checkout,
    are_the_same_objects,
    discs,
    labels,
    level0,
    pieces,
    store,
    write_discs,
)

pytestmark = pytest.mark.nextflow

BIG = (300, 340)
REGION = (40, 60, 150, 170)  # y, x, height, width


@dataclass
class Terminal:
    """A program in a terminal of its own."""

    process: subprocess.Popen[bytes]
    screen: int

    def read(self) -> str:
        """All that it wrote, once it has ended."""
        written = b""
        try:
            while data := os.read(self.screen, 1 << 16):
                written += data
        except OSError:  # the other side is closed
            pass
        self.process.wait(LIMIT)
        return written.decode()


def in_terminal(checkout: Checkout, here: Path, *args: object, **env: str) -> Terminal:
    """Start the command line as a person does."""
    screen, side = pty.openpty()
    surroundings = {**checkout.env, "PYTHONPATH": str(checkout.root / "src"), **env}
    process = subprocess.Popen(
        checkout.command("run", *checkout.toy, *args),
        cwd=here,
        env={**surroundings, "TERM": "xterm", "COLUMNS": "120"},
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        preexec_fn=take_terminal,  # noqa: PLW1509  # the test has no other thread
    )
    os.close(side)
    return Terminal(process, screen)


def take_terminal() -> None:
    """Make standard input the session's terminal, so that Ctrl-C reaches the program."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module")
def shown(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, Path]:
    """What a terminal showed of the run of a region, the exit code and the results."""
    here = tmp_path_factory.mktemp("terminal")
    write_discs(here / "in" / "plane.tif", BIG, seed=1)
    region = ",".join(map(str, REGION))
    words = ("--input", "in", "--outdir", "out", "--region", region, "--mpp", "0.5")
    terminal = in_terminal(checkout, here, *words)
    return terminal.read(), terminal.process.returncode, here / "out"


def test_a_terminal_shows_a_bar_and_then_where_things_are(shown: tuple[str, int, Path]) -> None:
    screen, code, outdir = shown
    assert code == 0, screen
    assert "\x1b[" in screen
    assert "━" in screen
    assert "% " in screen
    assert "tiles" in screen
    assert str(outdir / "report.html") in screen.replace("\r\n", "")


def test_a_regions_labels_are_those_of_the_crop(shown: tuple[str, int, Path]) -> None:
    y, x, height, width = REGION
    crop = discs(BIG, seed=1)[y : y + height, x : x + width]
    assert are_the_same_objects(labels(shown[2], "plane"), pieces(crop))
    assert np.array_equal(level0(store(shown[2], "plane")), crop)


def test_a_region_lies_where_it_was_cut_out(shown: tuple[str, int, Path]) -> None:
    y, x = REGION[:2]
    found = store(shown[2], "plane")
    root: Any = zarr.open_group(found, mode="r").attrs["ome"]
    moves = root["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    (translation,) = [m["translation"] for m in moves if m["type"] == "translation"]
    assert translation == [y * 0.5, x * 0.5]
    table = anndata.read_zarr(found / "tables" / "everything").obs
    whole = pieces(discs(BIG, seed=1))
    centres = np.rint(table[["centroid_y_px", "centroid_x_px"]].to_numpy()).astype(int)
    assert (whole[centres[:, 0], centres[:, 1]] > 0).all()


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_a_stopped_run_leaves_nothing_running(checkout: Checkout, tmp_path: Path, how: str) -> None:
    write_discs(tmp_path / "in" / "plane.tif")
    words = ("--input", "in", "--outdir", "out")
    terminal = in_terminal(checkout, tmp_path, *words, TOY_LOADS="60")
    wait_for(tmp_path / "out" / "plan.json", terminal.process)
    if how == "ctrl-c":
        os.write(terminal.screen, b"\x03")
    else:
        terminal.process.terminate()
    screen = terminal.read()
    assert terminal.process.returncode == {"ctrl-c": 130, "sigterm": 143}[how], screen
    assert "Traceback" not in screen
    assert how == "sigterm" or "run it again" in screen
    assert not running_below(tmp_path)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a file is there."""
    end = time.monotonic() + LIMIT
    while not path.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.1)


def running_below(folder: Path) -> list[str]:
    """Command lines of the processes that work below a folder, after a moment's grace."""
    end = time.monotonic() + 10
    while found := _running_below(folder):
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return found


def _running_below(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink().is_relative_to(folder):
                found.append(process.joinpath("cmdline").read_text())
        except OSError:
            continue
    return found
