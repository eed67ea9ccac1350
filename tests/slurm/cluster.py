"""A real SLURM on this machine: Debian's, three nodes with two pretended GPUs each, no system file.

It has a munge, ports and folders of its own, all run by root. By hand:
`python tests/slurm/cluster.py DIR` starts one, says how to use it, and stops it on Ctrl-C;
`--install` in place of DIR brings the packages only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
NODES = ("n1", "n2", "n3")
CPUS, MEMORY, GPUS = 4, 8192, 2  # of each node; memory in MB
UNAVAILABLE = 69
SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONF = """\
ClusterName=tilewright
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
InactiveLimit=0
MinJobAge=300
KillWait=3
SchedulerParameters=sched_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
"""
PARTITIONS = """\
PartitionName=cpu Nodes=ALL LLN=YES Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=ALL PriorityTier=9 MaxTime=INFINITE State=UP
"""


def ensure() -> None:
    """Install SLURM where it isn't; one sentence and exit 69 where that can't be."""
    why = ""
    if os.geteuid() != 0:
        why = "A SLURM of its own needs root: run this as root, in a container if need be."
    elif not all(map(found, PROGRAMS)):
        why = install()
    if why:
        sys.stderr.write(f"tilewright: {why}\n")
        sys.exit(UNAVAILABLE)


def found(program: str) -> str | None:
    """Where a program is; Debian has the daemons in sbin, which isn't on every PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":" + SAFE_PATH)


def install() -> str:
    """Install Debian's packages; what went wrong, or nothing."""
    if shutil.which("apt-get") is None:
        return f"There is no SLURM here: install {', '.join(PACKAGES)}."
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-qq", *words], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"`apt-get {words[0]}` failed: {done.stderr.strip().splitlines()[-1:]}"
    return ""


class Cluster:
    """A SLURM in `folder`, from `up` to `down`.

    Parameters
    ----------
    folder
        Where all of it lies; a short path, since munge's socket is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:{SAFE_PATH}",
        }

    def up(self) -> None:
        """Start it, and wait until every node is idle."""
        address()
        for name in ("state", "munge", "dev", *(f"spool/{n}" for n in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._configure(free_ports(len(NODES) + 1))
        self._munge()
        self.start_controller("-c")
        for name in NODES:
            self.start_node(name)
        wait_for(self.is_idle, f"the nodes to come up: see {self.folder}/*.log")

    def is_idle(self) -> bool:
        """Whether every node is there, and free."""
        states = self("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").split()
        return states == ["idle"] * len(NODES)

    def down(self) -> None:
        """Stop it by its pid files, jobs first, and remove it."""
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            self("scancel", "-u", "root")
            wait_for(lambda: not self("squeue", "-h"), "jobs to end", 10)
        pids = [self._pid(f"slurmd-{n}") for n in NODES] + [self._pid("slurmctld")]
        stop([p for p in pids if p])
        stop([p for p in [self._pid("munge/munged")] if p])
        shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, *words: object, check: bool = True) -> str:
        """Run one of SLURM's commands; what it says."""
        env = {**os.environ, **self.env}
        done = subprocess.run(
            list(map(str, words)), env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def jobs(self, name: str = "", states: str = "PD,R,CG,CF") -> dict[str, str]:
        """Job number and state of the jobs whose name holds `name`."""
        lines = self("squeue", "-h", "-t", states, "-o", "%i %T %j").splitlines()
        words = [line.split(None, 2) for line in lines]
        return {number: state for number, state, called in words if name in called}

    def pids(self, job: str) -> list[int]:
        """The processes of a job on this machine, without SLURM's own."""
        wanted = f"SLURM_JOB_ID={job}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def start_controller(self, *words: str) -> None:
        """Start slurmctld; without `-c` it goes on from what it saved."""
        self("slurmctld", *words)

    def stop_controller(self) -> None:
        """Stop slurmctld; nodes and jobs go on."""
        stop([pid for pid in [self._pid("slurmctld")] if pid])

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self("slurmd", "-N", name)

    def lose_node(self, name: str) -> None:
        """Kill a node's slurmd and all that runs on it, as if its power were cut."""
        jobs = self("squeue", "-h", "-w", name, "-t", "R", "-o", "%i").split()
        steps = [pid for job in jobs for pid in step_pids(job)]
        for pid in [
            self._pid(f"slurmd-{name}") or 0,
            *steps,
            *(p for j in jobs for p in self.pids(j)),
        ]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _configure(self, ports: list[int]) -> None:
        conf = CONF.format(folder=self.folder, port=ports[0])
        gres = "AutoDetect=off\n"
        for name, port in zip(NODES, ports[1:], strict=True):
            conf += (
                f"NodeName={name} NodeHostname=localhost Port={port} CPUs={CPUS} "
                f"RealMemory={MEMORY} Gres=gpu:{GPUS} State=UNKNOWN\n"
            )
            gres += f"NodeName={name} Name=gpu File={self.folder}/dev/{name}-[0-{GPUS - 1}]\n"
            for number in range(GPUS):  # SLURM wants character devices: these are like /dev/null
                os.mknod(self.folder / "dev" / f"{name}-{number}", 0o020666, os.makedev(1, 3))
        (self.folder / "slurm.conf").write_text(conf + PARTITIONS)
        (self.folder / "gres.conf").write_text(gres)

    def _munge(self) -> None:
        folder = self.folder / "munge"
        folder.chmod(0o755)
        self.folder.chmod(0o755)
        (folder / "key").touch(0o600)
        (folder / "key").write_bytes(os.urandom(1024))
        files = {
            "socket": "sock",
            "key-file": "key",
            "pid-file": "munged.pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        self(
            "munged",
            "--force",
            "--num-threads=2",
            *(f"--{k}={folder / v}" for k, v in files.items()),
        )

    def _pid(self, name: str) -> int | None:
        try:
            return int((self.folder / f"{name}.pid").read_text())
        except (OSError, ValueError):
            return None


def step_pids(job: str) -> list[int]:
    """SLURM's own processes that keep a job."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(f"slurmstepd: [{job}.".encode()):
                found.append(int(folder.name))
    return found


def stop(pids: list[int]) -> None:
    """TERM, then KILL after some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(is_alive, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not any(map(is_alive, pids)), "the daemons to end", 4)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(there: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def address() -> None:
    """Give this machine an address: SLURM can't resolve `localhost` where only loopback has one."""
    words = ["ip", "-4", "-o", "addr", "show", "scope", "global"]
    if subprocess.run(words, capture_output=True, check=False).stdout.strip():
        return
    for line in (
        "link add slurm0 type veth peer name slurm1",
        "addr add 192.0.2.77/32 dev slurm0",
        "link set slurm0 up",
    ):
        subprocess.run(["ip", *line.split()], check=True)


def main(folder: Path) -> None:
    """Keep a SLURM up until Ctrl-C."""
    ensure()
    cluster = Cluster(folder.absolute())
    cluster.up()
    sys.stdout.write(
        f"export SLURM_CONF={cluster.env['SLURM_CONF']}\n{cluster('sinfo', '-N', '-l')}"
    )
    sys.stdout.flush()
    try:
        signal.pause()
    except KeyboardInterrupt:
        cluster.down()


if __name__ == "__main__":
    ensure() if sys.argv[1:] == ["--install"] else main(Path(sys.argv[1]))
