"""Become a program that has no network and writes to a few folders only, where the system can that.

Landlock bounds what is written, seccomp which sockets are opened; both hold for all that the
program starts, whoever runs it, and for good. Reading stays free, and so do sockets of this
machine (AF_UNIX), GPUs and shared memory.

The standard library alone; a program by itself, so that it is in force before a model's script
begins, and named by its path, since nothing else of ours is imported:

    python -I -S confine.py auto|require ANSWERS FOLDER... -- PROGRAM ARGUMENT...

ANSWERS is a file descriptor, which is told first why the program isn't confined, or "" if it is.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import struct
import sys
from typing import Iterable, NoReturn

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's calls, on all machines
WRITE_FILE, REFER, TRUNCATE = 1 << 1, 1 << 13, 1 << 14
CHANGES = 0b1_1111_1111_0000  # bits 4 to 12: entries of folders removed and made
DEVICES_MADE = 1 << 6 | 1 << 11  # character and block devices, which would be all of the machine
SIGNALS = 1 << 1  # of what it is scoped by: no signal to processes outside
ENOUGH = 3  # Landlock's version that keeps files from being emptied: Linux 6.2
SCOPES = 6  # its version that knows signals: Linux 6.12
FILES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "kfd", "nvidia*")
FOLDERS = ("shm", "dri", "pts", "nvidia-caps")
AF_UNIX, AF_NETLINK = 1, 16  # this machine's own; its list of network cards, which libraries ask
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2
FOREIGN = 0x40000000  # calls of x32 begin here
IO_URING = (425, 426, 427)  # does what a filter of calls can't see
NEW_CALLS = (452, 463, 466)  # fchmodat2, setxattrat and removexattrat, on all machines
MACHINES = {  # what an audit calls it; its socket; chmod, chown and extended attributes
    "x86_64": (0xC000003E, 41, (90, 91, 92, 93, 94, 260, 268, 188, 189, 190, 197, 198, 199)),
    "aarch64": (0xC00000B7, 198, (52, 53, 54, 55, 5, 6, 7, 14, 15, 16)),
}
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # of the filter's language
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, MACHINE, FIRST = 0, 4, 16  # where a call's number, machine and first argument lie


def confine(folders: Iterable[str]) -> str:
    """Bound this process and all that it starts: "", or why that isn't wholly so."""
    if not sys.platform.startswith("linux"):
        return f"{os.uname().sysname} has neither Landlock nor seccomp"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return f"the system refuses it ({os.strerror(ctypes.get_errno())})"
    lacks = [why for why in (bound_writing(libc, folders), bound_calls(libc)) if why]
    return " and ".join(lacks)


def bound_writing(libc: ctypes.CDLL, folders: Iterable[str]) -> str:
    """Let nothing be written outside folders and devices; why not, if it can't be."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return f"this machine's kernel, {os.uname().release}, has no Landlock"
    handled = WRITE_FILE | CHANGES
    handled |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= ENOUGH else 0)
    asked = struct.pack("QQQ", handled, 0, SIGNALS)[: 24 if version >= SCOPES else 8]
    rules = libc.syscall(CREATE_RULESET, asked, len(asked), 0)
    if rules < 0:
        return f"Landlock refuses it ({os.strerror(ctypes.get_errno())})"
    for path in (*folders, *(f"/dev/{name}" for name in FOLDERS)):
        _allow(libc, rules, path, handled & ~DEVICES_MADE)
    for path in (path for name in FILES for path in glob.glob(f"/dev/{name}")):  # noqa: PTH207
        if not os.path.isdir(path):  # noqa: PTH112
            _allow(libc, rules, path, handled & (WRITE_FILE | TRUNCATE))
    failed = libc.syscall(RESTRICT_SELF, rules, 0)
    os.close(rules)
    if failed:
        return f"Landlock refuses it ({os.strerror(ctypes.get_errno())})"
    old = f"Landlock of this machine's kernel, {os.uname().release}, lets files be emptied"
    return old if version < ENOUGH else ""


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    """Let a folder, or a file, be written, if it is there."""
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", access, at), 0)
    os.close(at)


def bound_calls(libc: ctypes.CDLL) -> str:
    """Refuse sockets of the network, io_uring and changes of permissions; why not, if need be."""
    machine = os.uname().machine
    if machine not in MACHINES:
        return f"a filter of {machine}'s calls isn't known"
    steps = filter_of(*MACHINES[machine])
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *s) for s in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    if libc.prctl(SET_SECCOMP, FILTER, program, 0, 0):
        return f"seccomp refuses it ({os.strerror(ctypes.get_errno())})"
    return ""


def filter_of(machine: int, socket: int, attributes: Iterable[int]) -> list[tuple[int, ...]]:
    """A filter's steps: what each does, how many to pass over if true and if not, and its value."""
    refused = (*IO_URING, *NEW_CALLS, *attributes)
    steps: list[tuple[int, ...]] = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine)]
    steps += [
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, len(refused) + 4, 0, FOREIGN),
    ]
    steps += [(EQUAL, len(refused) + 3 - n, 0, call) for n, call in enumerate(refused)]
    steps += [(EQUAL, 0, 4, socket), (LOAD, 0, 0, FIRST)]
    steps += [(EQUAL, 2, 0, AF_UNIX), (EQUAL, 1, 0, AF_NETLINK)]
    return [*steps, (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]


def main(mode: str, answers: str, *words: str) -> NoReturn:
    """Confine, tell how it went, and become the program."""
    split = words.index("--")
    try:
        why = confine(words[:split])
    except OSError as error:
        why = f"the system refuses it ({error.strerror})"
    told = json.dumps({"unconfined": why, "shape": [0], "dtype": "|u1"}).encode() + b"\n"
    os.write(int(answers), struct.pack(">I", len(told)) + told)
    if why and mode == "require":
        sys.exit(1)
    program = words[split + 1 :]
    os.execv(program[0], program)  # noqa: S606  # a list of words, and no shell


if __name__ == "__main__":
    main(*sys.argv[1:])
