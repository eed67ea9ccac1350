"""The two ends of the pipe, each test with a real child process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.environments.interpreters import child_env
from tilewright.errors import TilewrightError
from tilewright.predict.child import CLOSE_SECONDS
from tilewright.predict.model_process import ModelProcess
from tilewright.tile_results.check import check_results

SCRIPTS = Path(__file__).parents[1] / "scripts"
LABELS = {"output_kind": "labels"}
MAP = {"output_kind": "map"}
EMBEDDING = {"output_kind": "embedding"}


def model(
    script: str = "run_trouble.py",
    spec: dict[str, Any] = LABELS,
    *,
    python: Path = Path(sys.executable),
    weights: str = "",
    timeout: float = 20,
    log: Path | None = None,
    **params: Any,
) -> ModelProcess:
    return ModelProcess(
        python,
        SCRIPTS / script,
        weights=weights,
        device="cpu",
        spec=spec,
        params=params,
        timeout=timeout,
        log=log,
    )


def numbered(first: int, count: int, side: int = 8) -> np.ndarray:
    """(count, 1, side, side) float32: every pixel of tile i is `first` + i."""
    values = np.arange(first, first + count, dtype=np.float32)
    return np.broadcast_to(values[:, None, None, None], (count, 1, side, side)).copy()


def labels_of(tiles: np.ndarray) -> np.ndarray:
    """What `good` in run_trouble.py must give for `numbered` tiles."""
    return tiles[:, 0].astype(np.uint32)


def impatient(process: ModelProcess) -> None:
    """Wait until it is loaded, however busy the machine, and then for 1 s at a time."""
    _ = process.versions
    process._child.timeout = 1


def sentence(process: ModelProcess, says: str) -> TilewrightError:
    """The error that a prediction ends in, which has some words."""
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught, process:
        process.predict(numbered(0, 2))
    assert "\n" not in str(caught.value)
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # an orphan may wait for an init that never reaps
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def until_gone(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


# What a model that behaves gives


def test_a_batch_comes_back_predicted_and_in_order() -> None:
    tiles = np.random.default_rng(0).random((3, 2, 5, 7), dtype=np.float32)
    with model("run_double.py", MAP, factor=3) as process:
        np.testing.assert_array_equal(process.predict(tiles), tiles * np.float32(3))


def test_the_model_says_which_python_and_numpy_it_runs_on() -> None:
    with model("run_double.py") as process:
        assert process.versions == {
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
        }


def test_ten_thousand_tiles_are_all_accounted_for_in_order() -> None:
    firsts = range(0, 10_000, 64)
    batches = ((first, numbered(first, min(64, 10_000 - first), 64)) for first in firsts)
    seen = []
    with model(predict="good") as process:
        for (key, results), first in zip(process.map(batches), firsts, strict=True):
            assert key == first
            assert (results == results[:, :1, :1]).all()
            seen.extend(results[:, 0, 0].tolist())
    assert seen == list(range(10_000))


def test_an_array_far_larger_than_the_pipe_goes_through_both_ways() -> None:
    tiles = np.zeros((1, 1, 8192, 8192), np.float32)  # 256 MiB
    tiles[0, 0, -1, -1] = 7
    with model("run_double.py", MAP) as process:
        results = process.predict(tiles)
    assert results.shape == tiles.shape
    assert results[0, 0, -1, -1] == 14
    assert np.count_nonzero(results) == 1


def test_the_next_batch_is_sent_while_the_model_works_on_one() -> None:
    taken: list[int] = []

    def batches() -> Iterator[tuple[int, np.ndarray]]:
        for key in range(5):
            taken.append(key)
            yield key, numbered(key, 1)

    with model(predict="good") as process:
        ahead = [len(taken) - key for key, _ in process.map(batches())]
    assert ahead == [2, 2, 2, 2, 1]


def test_a_list_of_arrays_is_taken_as_one_batch() -> None:
    with model(predict="gives_a_list") as process:
        np.testing.assert_array_equal(process.predict(numbered(5, 3)), labels_of(numbered(5, 3)))


def test_answers_that_nobody_took_do_not_reach_the_next_batch() -> None:
    with model(predict="good") as process:
        for _ in process.map((key, numbered(key, 1)) for key in range(9)):
            break
        assert process.predict(numbered(42, 1))[0, 0, 0] == 42


# Prints


@pytest.mark.parametrize("to_file", [False, True])
def test_whatever_is_printed_to_stdout_is_harmless_and_goes_to_stderr_or_a_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, to_file: bool
) -> None:
    log = tmp_path / "model.log"
    with model(predict="prints", log=log if to_file else None) as process:
        np.testing.assert_array_equal(process.predict(numbered(5, 3)), labels_of(numbered(5, 3)))
    out, err = capfd.readouterr()
    assert out == ""
    for line in (
        "printed to descriptor 1 at import",
        "printed to stdout at import",
        '{"error": "no"}',
    ):
        assert line in (log.read_text() if to_file else err)
        assert line not in (err if to_file else "")


def test_a_slow_model_that_prints_is_not_taken_for_a_hung_one() -> None:
    with model(predict="talks") as process:  # 2 s, a word every 0.2 s
        impatient(process)
        assert process.predict(numbered(5, 1))[0, 0, 0] == 5


# A model that fails, dies or hangs

FAULTS = [
    pytest.param(
        {"predict": "raises"},
        ["predicting 2 tiles of 1 x 8 x 8", "a line and another"],
        id="raises",
    ),
    pytest.param(
        {"load": "raises"}, ["loading the model", "ValueError: a line and"], id="raises-at-load"
    ),
    pytest.param({"predict": "exits"}, ["exit code 3 while predicting"], id="exits"),
    pytest.param({"load": "exits"}, ["exit code 3 while loading"], id="exits-at-load"),
    pytest.param({"predict": "aborts"}, ["signal 6 (Aborted) while predicting"], id="aborts"),
    pytest.param(
        {"predict": "is_killed"},
        ["signal 9 (out of memory?)", "the last thing it said"],
        id="killed",
    ),
    pytest.param({"load": "is_killed"}, ["signal 9", "while loading"], id="killed-at-load"),
    pytest.param({"predict": "leaves_a_child"}, ["exit code 5 while predicting"], id="forked"),
    pytest.param({"predict": "gives_none"}, ["NoneType, not an array of numbers"], id="nothing"),
    pytest.param(
        {"predict": "runs_out_of_memory", "holds": 0},
        ["memory of cpu ran out on 1 tile of 1 x 8 x 8"],
        id="oom-at-one",
    ),
]


@pytest.mark.parametrize(
    ("params", "says"),
    [({"predict": "raises"}, "The traceback is"), ({"predict": "exits"}, "All that it printed is")],
)
def test_what_a_model_printed_is_where_the_sentence_says(
    params: dict[str, Any],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{says} on standard error." in str(sentence(model(**params), says))
    assert "run_trouble.py" in capfd.readouterr().err or params["predict"] == "exits"
    (tmp_path / ".command.err").touch()  # as in a task, where it has what is on standard error
    assert f"{says} in its task's .command.err" in str(sentence(model(**params), says))
    assert f"{says} in a.log." in str(sentence(model(**params, log=tmp_path / "a.log"), says))


@pytest.mark.parametrize(("params", "says"), FAULTS)
def test_a_model_that_fails_ends_in_one_sentence(params: dict[str, Any], says: list[str]) -> None:
    error = sentence(model(**params), "run_trouble.py")
    assert error.code == 70
    for words in says:
        assert words in str(error)


@pytest.mark.parametrize("how", ["hangs", "hangs_in_a_loop"])
def test_a_silent_model_is_ended_after_the_timeout(how: str) -> None:
    with model(predict=how) as process:
        impatient(process)
        silent = r"no sign of life for 1 s \(--predict_timeout\) while predicting 2 tiles"
        with pytest.raises(TilewrightError, match=silent) as caught:
            process.predict(numbered(0, 2))
        assert not is_alive(process.pid)
    assert "--predict_timeout" in caught.value.fix
    assert caught.value.code == 70


def test_a_model_that_hangs_while_loading_is_ended_too() -> None:
    sentence(model(load="hangs", timeout=1), "for 1 s (--predict_timeout) while loading")


def test_a_model_that_stops_reading_is_noticed_while_it_is_sent_a_batch() -> None:
    with model(predict="good") as process:
        impatient(process)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(TilewrightError, match="no sign of life for 1 s"):
            process.predict(numbered(0, 16, 256))  # 4 MiB, more than a pipe holds


def test_a_missing_library_is_named() -> None:
    error = sentence(model("run_no_library.py"), "exit code 1 while loading")
    assert "No module named 'a_library_that_is_not_there'" in str(error)


def test_an_error_in_one_batch_leaves_the_model_good_for_the_next() -> None:
    with model(predict="raises_on_odd") as process:
        for first in (0, 1, 2, 3, 4):
            if first % 2:
                with pytest.raises(TilewrightError, match="ValueError: odd"):
                    process.predict(numbered(first, 1))
            else:
                assert process.predict(numbered(first, 1))[0, 0, 0] == first


MISSING = [
    pytest.param(
        {"python": Path("/nowhere/bin/python")},
        "/nowhere/bin/python: the model's interpreter",
        id="python",
    ),
    pytest.param({"script": "run_nothing.py"}, "run_nothing.py: the model's script", id="script"),
    pytest.param({"weights": "/nowhere/w.pt"}, "/nowhere/w.pt: the model's weights", id="weights"),
    pytest.param({"python": SCRIPTS / "run_double.py"}, "can't be started", id="not-a-program"),
]


@pytest.mark.parametrize(("arguments", "says"), MISSING)
def test_what_is_missing_is_named_before_anything_starts(
    arguments: dict[str, Any], says: str
) -> None:
    assert sentence(model(**arguments), says).code == 69


# Results that don't fit the spec

BAD_RESULTS = [
    pytest.param(LABELS, [2, 4, 4], "uint16", 1, "(2, 4, 4) uint16", id="labels-size"),
    pytest.param(LABELS, [1, 8, 8], "uint16", 1, "(1, 8, 8) uint16", id="labels-count"),
    pytest.param(LABELS, [2, 1, 8, 8], "uint16", 1, "wants (2, 8, 8) of whole", id="labels-axes"),
    pytest.param(LABELS, [2, 8, 8], "float32", 1, "(2, 8, 8) float32", id="labels-float"),
    pytest.param(LABELS, [2, 8, 8], "bool", 1, "(2, 8, 8) bool", id="labels-bool"),
    pytest.param(LABELS, [2, 8, 8], "int32", -3, "labels down to -3", id="labels-negative"),
    pytest.param(MAP, [2, 8, 8], "float32", 1, "wants (2, any, 8, 8) of finite", id="map-axes"),
    pytest.param(
        {**MAP, "classes": ["a", "b"]},
        [2, 3, 8, 8],
        "float32",
        1,
        "wants (2, 2, 8, 8)",
        id="map-classes",
    ),
    pytest.param(MAP, [2, 3, 8, 8], "uint8", 1, "(2, 3, 8, 8) uint8", id="map-integer"),
    pytest.param(
        MAP, [2, 3, 8, 8], "float16", float("nan"), "NaN or infinity in 2 of 2", id="map-nan"
    ),
    pytest.param(
        EMBEDDING, [2, 4], "float32", float("inf"), "NaN or infinity in 2 of 2", id="embedding-inf"
    ),
    pytest.param(
        {**EMBEDDING, "embedding_dim": 5},
        [2, 4],
        "float32",
        1,
        "wants (2, 5)",
        id="embedding-length",
    ),
    pytest.param(
        {**EMBEDDING, "output_type": "dense"},
        [2, 4],
        "float32",
        1,
        "wants (2, any, 8, 8) of finite floats; rows and columns may be fewer by one whole factor",
        id="dense-axes",
    ),
    pytest.param(
        {**EMBEDDING, "output_type": "cls+patch_mean", "base_dim": 4},
        [2, 4],
        "float32",
        1,
        "output_type cls+patch_mean, base_dim 4 in the manifest wants (2, 8)",
        id="both-parts",
    ),
    pytest.param(
        {**EMBEDDING, "output_type": "dense", "output_spatial_dims": [4, 4]},
        [2, 3, 2, 2],
        "float32",
        1,
        "output_spatial_dims [4, 4] in the manifest wants (2, any, 4, 4)",
        id="dense-grid",
    ),
    pytest.param(
        {**EMBEDDING, "output_type": "dense", "patch_size": 4},
        [2, 3, 4, 4],
        "float32",
        1,
        "patch_size 4 in the manifest wants (2, any, 2, 2)",
        id="dense-patches",
    ),
    pytest.param(
        {
            **EMBEDDING,
            "output_type": "token_sequence",
            "patch_size": 4,
            "num_prefix_tokens": 5,
        },
        [2, 8, 3],
        "float32",
        1,
        "wants (2, 9, any)",
        id="tokens",
    ),
    pytest.param(MAP, [2, 3, 4, 2], "float32", 1, "(2, 3, 4, 2) float32", id="map-two-strides"),
    pytest.param(MAP, [2, 3, 3, 3], "float32", 1, "(2, 3, 3, 3) float32", id="map-odd-stride"),
]


@pytest.mark.parametrize(("spec", "shape", "dtype", "value", "says"), BAD_RESULTS)
def test_results_that_do_not_fit_the_spec_are_refused(
    spec: dict[str, Any], shape: list[int], dtype: str, value: float, says: str
) -> None:
    results = np.full(shape, value, dtype)
    with pytest.raises(TilewrightError, match=re.escape(says)) as caught:
        check_results(results, numbered(0, 2), spec, "run_trouble.py")
    assert "run_trouble.py: predict gave" in str(caught.value)
    assert "for 2 tiles of 1 x 8 x 8" in str(caught.value)
    assert caught.value.code == 65


GOOD_RESULTS = [
    pytest.param(LABELS, [2, 8, 8], "int64", id="labels"),
    pytest.param({**MAP, "classes": ["a", "b", "c"]}, [2, 3, 8, 8], "float16", id="map"),
    pytest.param(MAP, [2, 3, 4, 4], "float32", id="map-of-stride-2"),
    pytest.param({**EMBEDDING, "embedding_dim": 4}, [2, 4], "float64", id="embedding"),
    pytest.param(
        {**EMBEDDING, "output_type": "cls+patch_mean", "base_dim": 2}, [2, 4], "float32", id="both"
    ),
    pytest.param({**EMBEDDING, "output_type": "dense"}, [2, 4, 2, 2], "float32", id="dense"),
    pytest.param({**EMBEDDING, "output_type": "token_sequence"}, [2, 5, 4], "float32", id="tokens"),
]


@pytest.mark.parametrize(("spec", "shape", "dtype"), GOOD_RESULTS)
def test_results_that_fit_the_spec_are_taken(
    spec: dict[str, Any], shape: list[int], dtype: str
) -> None:
    check_results(np.zeros(shape, dtype), numbered(0, 2), spec, "run_trouble.py")


def test_nan_from_a_model_is_refused_and_the_model_stays_good() -> None:
    tiles = numbered(0, 2)
    tiles[1, 0, 3, 3] = np.nan
    with model("run_double.py", MAP) as process:
        with pytest.raises(TilewrightError, match="NaN or infinity in 1 of 2 results"):
            process.predict(tiles)
        np.testing.assert_array_equal(process.predict(numbered(1, 2)), 2 * numbered(1, 2))


# Memory


def test_a_batch_too_large_for_memory_is_halved_and_gives_the_same_results() -> None:
    tiles = [numbered(first, 13) for first in (0, 13, 26, 39)]
    with model(predict="runs_out_of_memory", holds=4) as process:
        results = dict(process.map(enumerate(tiles)))
        assert process.batch_limit == 3  # 13, 6, 3
        for key, batch in enumerate(tiles):
            np.testing.assert_array_equal(results[key], labels_of(batch))
        np.testing.assert_array_equal(process.predict(tiles[3]), labels_of(tiles[3]))


def test_a_script_may_return_tokens_and_gets_them_pooled() -> None:
    spec = {**EMBEDDING, "output_type": "cls+patch_mean", "embedding_dim": 4}
    spec.update(patch_size=4, num_prefix_tokens=1)
    with model(spec=spec, predict="gives_tokens", tokens=5) as process:  # 1 + (8/4)²
        expected = np.float32([[0, 0, 2.5, -2.5]] * 3)
        np.testing.assert_allclose(process.predict(numbered(0, 3)), expected)


# No process is left behind


def test_a_model_that_is_left_is_ended_and_reaped() -> None:
    with model(predict="good") as process:
        process.predict(numbered(0, 1))
        pid = process.pid
        assert is_alive(pid)
    with pytest.raises(ChildProcessError, match="No child processes"):  # reaped already: no zombie
        os.waitpid(pid, 0)


def test_leaving_by_an_error_ends_the_model_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(KeyError, match="ours"), model(load="hangs") as process:
        raise KeyError("ours")
    assert time.monotonic() - started < CLOSE_SECONDS
    assert not is_alive(process.pid)


@pytest.mark.parametrize(
    ("how", "busy"), [(signal.SIGKILL, "hangs_in_a_loop"), (signal.SIGTERM, "hangs")]
)
def test_a_killed_worker_leaves_no_model_behind(how: signal.Signals, busy: str) -> None:
    command = [sys.executable, str(SCRIPTS / "worker_that_waits.py"), busy]
    worker = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_env(Path(sys.prefix)),
    )
    assert worker.stdout is not None
    assert worker.stderr is not None
    with worker.stdout, worker.stderr:
        pid = int(worker.stdout.readline())
        assert b"hanging\n" in iter(worker.stderr.readline, b"")
        assert is_alive(pid)
        worker.send_signal(how)
        worker.wait(10)
        assert until_gone(pid, 10)


# What a model's environment must have


def test_a_model_environment_sees_our_source_and_its_own_programs_first() -> None:
    base = {
        "PATH": "/usr/bin",
        "VIRTUAL_ENV": "/v",
        "PYTHONHOME": "/h",
        "PYTHONPATH": "/p",
        "HF_TOKEN": "secret",
        "HUGGING_FACE_HUB_TOKEN": "secret",
        "HOME": "/",
    }
    assert child_env(Path("/envs/a"), base) == {
        "PATH": "/envs/a/bin:/usr/bin",
        "CONDA_PREFIX": "/envs/a",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HOME": "/",
    }


def test_a_script_run_by_hand_says_how_it_is_meant_to_be_run() -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPTS / "run_double.py")],
        check=False,
        capture_output=True,
        text=True,
        env=child_env(Path(sys.prefix)),
        timeout=20,
    )
    assert found.returncode == 1
    assert "is started by tilewright" in found.stderr
