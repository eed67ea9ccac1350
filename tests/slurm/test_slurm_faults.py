"""What clusters do to jobs, done to them: each run ends with an undisturbed one's bytes.

The table in docs/hpc.md says what Nextflow sees of each fault and how often it is tried; it is
checked here.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cluster import Cluster, wait_for
from running import ROOT, Checkout, digests, run_json, write_discs
from watched import Running, Site

from tilewright.cli import slurm_jobs
from tilewright.cli.slurm_jobs import Orphan

pytestmark = [pytest.mark.nextflow, pytest.mark.slurm]

ALWAYS, HUGE = 251, 253
HELD = {
    name: 201 + number
    for number, name in enumerate(
        [
            "cancelled",
            "killed",
            "overtime",
            "drained",
            "lost",
            "preempted",
            "restarted",
            "waiting",
            "full",
        ]
    )
}
REFUSING = """\
#!/bin/sh
n=$(cat "{count}"); echo $((n + 1)) > "{count}"
[ "$n" -ge 2 ] || {{ echo "sbatch: error: Batch job submission failed: Unable to contact slurm \
controller (connect failure)"; exit 1; }}
exec {sbatch} "$@"
"""


def draw(folder: Path, *names: str) -> Path:
    """An image of each name; its brightness says what happens to the model on it."""
    values = {**HELD, "huge": HUGE, "always": ALWAYS}
    for seed, name in enumerate(names):
        write_discs(folder / f"{name}.tif", seed=len(name) + seed, value=values.get(name, 0))
    return folder


def table() -> dict[str, list[str]]:
    """The rows of docs/hpc.md's table of faults, by what happens."""
    text = (ROOT / "docs" / "hpc.md").read_text().partition("## What can happen")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row for row in rows}


def attempts(outdir: Path, image: str) -> list[str]:
    """How each try of an image's PREDICT ended, by the trace: exit codes, `-` for none."""
    with (outdir / "trace.txt").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    mine = [r for r in rows if r["name"].startswith(f"PREDICT ({image}-")]
    return [r["exit"] for r in sorted(mine, key=lambda r: int(r["attempt"]))]


def told(fault: str) -> list[str]:
    """The exit codes that the docs promise for a fault's tries."""
    return [code.strip() for code in table()[fault][1].split(",")]


def undisturbed(site: Site, images: Path) -> dict[str, str]:
    """Digests of the same images' results where nothing happens, on this machine."""
    outdir = images.parent / "undisturbed"
    done = site.checkout.run(images, outdir)  # in one task: that changes no byte
    assert done.returncode == 0, done.stderr
    return digests(outdir)


@pytest.fixture(scope="module")
def module_site(
    cluster: Cluster, checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """The cluster, for a run that several tests look at."""
    return Site(cluster, checkout, tmp_path_factory.mktemp("site"))


def hold(site: Site, *names: str) -> None:
    """Have the model wait on these images."""
    site.hold.mkdir(exist_ok=True)
    for name in names:
        (site.hold / str(HELD[name])).touch()


def job_of(site: Site, image: str) -> str:
    """The number of an image's PREDICT job."""
    (number,) = site.cluster.jobs(f"PREDICT_({image}-", "R")
    return number


def node_of(site: Site, image: str) -> str:
    """The node it runs on."""
    return site.cluster("squeue", "-h", "-j", job_of(site, image), "-o", "%N").strip()


# One run: jobs cancelled, killed, over their time and memory; a node drained; sbatch refused


@pytest.fixture(scope="module")
def troubled(module_site: Site) -> tuple[Running, dict[str, str], Path]:
    """The run, what it should give, and the folder of the refused sbatch."""
    site = module_site
    good = ("plain", "cancelled", "killed", "overtime", "drained", "huge")
    images = draw(site.folder / "in", *good)
    wanted = undisturbed(site, images)
    draw(site.folder / "in", *good, "always")
    fake = refusing_sbatch(site)
    hold(site, "cancelled", "killed", "overtime", "drained")
    options = ("--predict_memory", 1, "--slurm_queue", "cpu")
    run = site.start(
        images, site.folder / "out", *options, PATH=f"{fake}:{site.cluster.env['PATH']}"
    )
    for name in ("cancelled", "killed", "overtime", "drained"):
        site.held(HELD[name])
    drained = node_of(site, "drained")
    site.cluster("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
    site.go(HELD["drained"])
    over = job_of(site, "overtime")
    site.cluster("scontrol", "update", f"jobid={over}", "timelimit=1")
    site.cluster("scancel", job_of(site, "cancelled"))
    kill_worker(site.cluster, job_of(site, "killed"))
    site.go(HELD["cancelled"])
    site.go(HELD["killed"])
    wait_for(lambda: over not in site.cluster.jobs(), "the time limit", 120)
    site.go(HELD["overtime"])
    run.end()
    site.cluster("scontrol", "update", f"nodename={drained}", "state=resume")
    return run, wanted, fake


def refusing_sbatch(site: Site) -> Path:
    """A folder with an `sbatch` that refuses twice, as one without its controller does."""
    folder = site.folder / "bin"
    folder.mkdir()
    real = site.cluster("sh", "-c", "command -v sbatch").strip()
    (folder / "count").write_text("0")
    (folder / "sbatch").write_text(REFUSING.format(count=folder / "count", sbatch=real))
    (folder / "sbatch").chmod(0o755)
    return folder


def kill_worker(cluster: Cluster, job: str) -> None:
    """Kill -9 what works in a job, not the script around it."""
    for pid in cluster.pids(job):
        with contextlib.suppress(OSError):
            if b"tilewright.steps.predict" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def test_a_troubled_run_has_every_byte_of_an_undisturbed_one(
    troubled: tuple[Running, dict[str, str], Path],
) -> None:
    run, wanted, _ = troubled
    assert digests(run.outdir) == wanted, run.said


@pytest.mark.parametrize(
    ("fault", "image"),
    [
        ("a job is cancelled", "cancelled"),
        ("a job is killed (`kill -9`)", "killed"),
        ("a job runs out of its time", "overtime"),
        ("a job takes more memory than it asked for", "huge"),
        ("a node is drained", "drained"),
        ("a task fails whenever it is tried", "always"),
    ],
)
def test_each_try_ends_as_the_docs_say(
    troubled: tuple[Running, dict[str, str], Path], fault: str, image: str
) -> None:
    run, _, _ = troubled
    assert attempts(run.outdir, image) == told(fault), run.said


def test_a_task_that_always_fails_is_named_and_fails_the_run_only(
    troubled: tuple[Running, dict[str, str], Path],
) -> None:
    run, _, _ = troubled
    assert run.process.returncode == 70
    (line,) = run_json(run.outdir)["failed"]
    assert line.startswith("always: ")
    assert f"tilewright: {line}" in run.said
    assert "6 of 7 images" in run.said


def test_an_sbatch_that_is_refused_is_asked_again(
    troubled: tuple[Running, dict[str, str], Path],
) -> None:
    run, _, fake = troubled
    log = (run.outdir / ".tilewright" / "nextflow.log").read_text()
    assert int((fake / "count").read_text()) > 2
    assert log.count("Unable to contact slurm controller") >= 2
    assert attempts(run.outdir, "plain") == told("`sbatch` is refused for a while")


def test_no_job_is_left_behind(
    troubled: tuple[Running, dict[str, str], Path], module_site: Site
) -> None:
    assert module_site.cluster.jobs() == {}
    assert left_by(module_site, troubled[0].outdir) == []


# One run: a node lost, a job preempted, the controller restarted


@pytest.fixture(scope="module")
def bereft(module_site: Site) -> tuple[Running, dict[str, str]]:
    """The run, and what it should give."""
    site = replace(module_site, folder=module_site.folder / "bereft")
    names = ("lost", "preempted", "restarted")
    images = draw(site.folder / "in", *names)
    wanted = undisturbed(site, images)
    hold(site, *names)
    run = site.start(images, site.folder / "out", "--slurm_queue", "cpu")
    for name in names:
        site.held(HELD[name])
    lost, node = node_of(site, "lost"), node_of(site, "preempted")
    assert lost != node != node_of(site, "restarted") != lost
    site.cluster.lose_node(lost)
    preempt(site, node)
    wait_for(lambda: gone(site, "preempted"), "preemption")
    site.go(HELD["preempted"])
    site.go(HELD["lost"])
    wait_for(lambda: is_down(site, lost), f"the end of node {lost}", 150)
    site.cluster.start_node(lost)
    site.cluster.stop_controller()
    site.go(HELD["restarted"])
    wait_for(lambda: (exit_file(run.outdir, "restarted")).exists(), "a job without controller", 60)
    site.cluster.start_controller()
    run.end()
    return run, wanted


def is_down(site: Site, node: str) -> bool:
    """Whether SLURM has given a node up; asked of one node alone, it may tell of an older state."""
    states = site.cluster("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N %T").splitlines()
    return f"{node} down" in " ".join(states)


def preempt(site: Site, node: str) -> None:
    """Have an urgent job take a whole node, for a moment."""
    words = ("-p", "urgent", "-w", node, "--exclusive", "-t", "1", "-o", "/dev/null")
    site.cluster("sbatch", *words, "--wrap", "sleep 2")


def gone(site: Site, image: str) -> bool:
    """Whether no job of an image runs."""
    return not site.cluster.jobs(f"PREDICT_({image}-", "R,CG")


def exit_file(outdir: Path, image: str) -> Path:
    """The exit code that an image's PREDICT leaves."""
    log = (outdir / ".tilewright" / "nextflow.log").read_text()
    (where,) = re.findall(rf"submitted process PREDICT \({image}-.* workDir: (.*)", log)
    return Path(where) / ".exitcode"


def test_a_bereft_run_has_every_byte_of_an_undisturbed_one(
    bereft: tuple[Running, dict[str, str]],
) -> None:
    run, wanted = bereft
    assert run.process.returncode == 0, run.said
    assert digests(run.outdir) == wanted


@pytest.mark.parametrize(
    ("fault", "image"),
    [
        ("a node is lost", "lost"),
        ("a job is preempted", "preempted"),
        ("the controller is away, then back", "restarted"),
    ],
)
def test_each_of_its_tries_ends_as_the_docs_say(
    bereft: tuple[Running, dict[str, str]], fault: str, image: str
) -> None:
    assert attempts(bereft[0].outdir, image) == told(fault)


# Nextflow itself is killed, then stopped; then the run goes on


def test_a_killed_and_then_stopped_run_goes_on_to_the_same_bytes(site: Site) -> None:
    images = draw(site.folder / "in", "plain", "waiting")
    wanted = undisturbed(site, images)
    outdir = site.folder / "out"
    hold(site, "waiting")

    first = site.start(images, outdir)
    site.held(HELD["waiting"])
    # Nextflow's cache knows of an end a moment after its trace: when the next step is done, too
    wait_for(lambda: statuses(outdir, "MERGE (plain") == ["COMPLETED"], "the other image", 90)
    first.kill(signal.SIGKILL)
    first.end()
    (orphan,) = left_by(site, outdir)
    assert "waiting" in orphan.name

    (site.hold / f"{HELD['waiting']}.here").unlink()
    second = site.start(images, outdir)
    site.held(HELD["waiting"])
    assert orphan.job not in site.cluster.jobs()
    second.kill(signal.SIGTERM)
    second.end()
    wait_for(lambda: not site.cluster.jobs(), "the jobs' end", 20)
    assert f"cancelled a job that an earlier run left: {orphan.job}" in second.said

    site.go(HELD["waiting"])
    third = site.start(images, outdir)
    assert third.end() == 0, third.said
    assert statuses(outdir, "PREDICT (plain") == ["CACHED"]
    assert digests(outdir) == wanted
    assert site.cluster.jobs() == {}


def test_a_closed_terminal_ends_a_run_whose_nextflow_hangs_and_its_jobs(site: Site) -> None:
    images = draw(site.folder / "in", "waiting")
    outdir = site.folder / "out"
    hold(site, "waiting")
    run = site.start(images, outdir)
    site.held(HELD["waiting"])
    for pid in nextflows(outdir):
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    run.process.send_signal(signal.SIGHUP)
    assert run.end() == 128 + signal.SIGHUP, run.said
    assert time.monotonic() - begun < 30
    assert list(nextflows(outdir)) == []
    wait_for(lambda: not site.cluster.jobs(), "the jobs' end", 60)


def nextflows(outdir: Path) -> Iterator[int]:
    """Processes that work in a run's own folder, not in a task's."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cwd").readlink() == outdir / ".tilewright":
                yield int(path.name)


def left_by(site: Site, outdir: Path) -> list[Orphan]:
    """The jobs that a run left behind."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in site.cluster.env.items():
            patch.setenv(name, value)
        return slurm_jobs.find(outdir / ".tilewright")


def statuses(outdir: Path, name: str) -> list[str]:
    """How the tasks of a name ended, of a run that may not have begun."""
    if not (outdir / "trace.txt").exists():
        return []
    with (outdir / "trace.txt").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [r["status"] for r in rows if r["name"].startswith(name)]


# The work folder's disk is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    site: Site, small_disk: Path
) -> None:
    images = draw(site.folder / "in", "full")
    wanted = undisturbed(site, images)
    hold(site, "full")
    outdir, work = site.folder / "out", small_disk / "work"
    run = site.start(images, outdir, "--work_dir", work)
    site.held(HELD["full"])
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    site.go(HELD["full"])
    code = run.end()
    assert code == int(table()["the work folder's disk is full"][1]), run.said
    assert "disk is full" in run.said
    assert list(outdir.glob("*/*.zarr")) == []
    filler.unlink()
    again = site.start(images, outdir, "--work_dir", work)
    assert again.end() == 0, again.said
    assert digests(outdir) == wanted
