"""A model that misbehaves: ``params["load"]`` and ``params["predict"]`` name how."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tilewright.runtime.serve import serve

os.write(1, b"printed to descriptor 1 at import\n")
sys.stdout.write("printed to stdout at import\n")


def good(tiles, params):
    """Labels: every tile's pixels are its first value, so order and loss can be seen."""
    return np.broadcast_to(tiles[:, 0, :1, :1], tiles[:, 0].shape).astype(np.uint32)


def prints(tiles, params):
    os.write(1, b'{"id": 1}\n\x00\xff')
    sys.stdout.write('{"error": "no"}\n')
    return good(tiles, params)


def raises(tiles, params):
    raise ValueError("a line\nand another")


def raises_on_odd(tiles, params):
    if tiles[0, 0, 0, 0] % 2:
        raise ValueError("odd")
    return good(tiles, params)


def negative_on_odd(tiles, params):
    labels = tiles[:, 0].astype(np.int32)
    return np.where(labels % 2, -labels, labels)


def fills_the_disk(*_):
    with Path("/dev/full").open("w") as full:
        full.write("no room for this")


def exits(*_):
    sys.exit(3)


def aborts(*_):
    os.abort()


def is_killed(*_):
    sys.stderr.write("the last thing it said\n")
    os.kill(os.getpid(), signal.SIGKILL)


def leaves_a_child(*_):
    """Dies, while a process it forked keeps the pipes open."""
    if os.fork() == 0:
        time.sleep(25)
        os._exit(0)
    os._exit(5)


def hangs(tiles, params):
    sys.stderr.write("hanging\n")
    time.sleep(600)


def hangs_in_a_loop(tiles, params):
    sys.stderr.write("hanging\n")
    while True:
        sum(range(1000))


def talks(tiles, params):
    for _ in range(10):  # a progress bar: no line ends
        sys.stderr.write("\r...")
        time.sleep(0.2)
    return good(tiles, params)


def runs_out_of_memory(tiles, params):
    """As torch says it, for more tiles than the memory holds."""
    if len(tiles) > params["holds"]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
    return good(tiles, params)


def gives_a_list(tiles, params):
    return list(good(tiles, params))


def gives_none(tiles, params):
    return None


def gives_tokens(tiles, params):
    """(batch, T, 2): token t is (t, -t)."""
    tokens = np.arange(params["tokens"], dtype=np.float32)
    return np.stack([np.stack([tokens, -tokens], axis=-1)] * len(tiles))


def load(weights, device, spec, params):
    if params.get("load"):
        globals()[params["load"]](None, params)
    return params


def predict(model, tiles):
    return globals()[model["predict"]](tiles, model)


serve(load, predict)
