"""Rules on a running model: what it takes and gives, on sample tiles, beside what it declares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.contract.colours import is_coloured
from tilewright.contract.values import is_normalised, is_usual
from tilewright.contract.words import counted
from tilewright.registry.checks.target import WARNING, Case, Violation
from tilewright.runtime.outputs import OUTPUT_TYPES
from tilewright.validate.compare import unlike
from tilewright.validate.golden import compare
from tilewright.validate.trial_run import Outcome, TrialRun

Array = np.ndarray[Any, Any]
TOKENS = re.compile(r"(gives \d+ tokens|has \d+ CLS and register tokens|needs a CLS token).*")
ROUNDING = 1e-5  # what another order of sums may change


@dataclass(frozen=True)
class Run:
    """A model's words, and the model running."""

    case: Case
    trial: TrialRun

    @property
    def goldens(self) -> Path:
        """Where the model's golden is: beside its manifest."""
        return self.case.document.path.parent / "goldens" / self.case.choice.model_name


def loads(run: Run) -> Iterator[Violation]:
    """The model loads from its weights without a network, and from no other file."""
    if TOKENS.search(run.trial.failure):  # that is R3's
        return
    if run.trial.failure:
        yield Violation(run.case.task, _short(run.trial.failure), "mend the script, or the weights")
        return
    if run.case.variant is not None or not run.trial.weights:  # a variant has the same script
        return
    if run.trial.with_rubbish().results is not None:
        message = "a file of zeros in place of the weights gives results, too"
        fix = "let `load` open the file it is given, and fail where that can't be done"
        yield Violation((*run.case.task, "locations"), message, fix)


def declared(run: Run) -> Iterator[Violation]:
    """The model takes a tile of the declared size, and gives the declared length or classes."""
    answer, spec = run.trial.answer("a"), run.case.spec
    if run.trial.failure:
        return
    if answer.results is None:
        if not TOKENS.search(answer.error):
            size = " x ".join(map(str, run.trial.tiles["a"].shape))
            message = f"a tile of {size} fails: {_short(answer.error)}"
            yield Violation(
                run.case.at("tile_spec", "size"), message, "mend tile_spec or the script"
            )
        return
    name, wanted = _length(run.case)
    axis = -1 if OUTPUT_TYPES[spec.form].ndim == 3 else 1
    if wanted is None or answer.results.ndim < 2:
        return
    found = answer.results.shape[axis]
    if found != wanted:
        message = f"{name} says {wanted}, and the model gives {found}"
        yield Violation(run.case.at(name), message, "declare what it gives")


def _length(case: Case) -> tuple[str, int | None]:
    """What of the spec says how many values a result has, and how many."""
    if case.spec.output_kind == "embedding":
        return "embedding_dim", case.spec.embedding_dim
    classes = case.spec.classes if case.spec.output_kind == "map" else None
    return "classes", len(classes) if classes else None


def token_count(run: Run) -> Iterator[Violation]:
    """A transformer gives num_prefix_tokens and one token for each patch."""
    answer = run.trial.answer("a")
    found = TOKENS.search(answer.error)
    if found:
        where = run.case.at("num_prefix_tokens")
        message = f"the model {found[0].split('. ')[0].rstrip('.')}"
        yield Violation(where, message, "count CLS, registers and patches")


def shapes(run: Run) -> Iterator[Violation]:
    """Results have the declared shape and dtype, for one tile, for two, and for a smaller one."""
    batches = [("a",), ("a", "b")]
    if run.case.spec.tile_spec.variable_input:
        batches.append(("corner",))
    for names in batches:
        answer = run.trial.answer(*names)
        if answer.results is None:
            if len(batches[0]) < len(names) or names == ("corner",):
                message = f"{_batch(run, names)} fail: {_short(answer.error)}"
                if run.trial.answer("a").results is not None:
                    yield Violation(run.case.at("output_kind"), message, "mend the script")
            continue
        problem = _misfit(run, names, answer.results)
        if problem:
            message = f"{_batch(run, names)} give {problem}"
            fix = f"output_kind {run.case.spec.output_kind} wants {_wanted(run.case)}"
            yield Violation(run.case.at("output_kind"), message, fix)
            return


def _batch(run: Run, names: tuple[str, ...]) -> str:
    size = " x ".join(map(str, run.trial.tiles[names[0]].shape))
    return f"{counted(len(names), 'tile')} of {size}"


def _wanted(case: Case) -> str:
    forms = {
        "labels": "whole numbers from 0, (batch, *tile)",
        "map": "floats (batch, class, *tile), or the tile over a whole stride",
        "embedding": "floats (batch, D), or as output_type says",
    }
    return forms[case.spec.output_kind]


def _misfit(run: Run, names: tuple[str, ...], results: Array) -> str:
    """What is wrong with results' shape or dtype; NaN is another rule's."""
    spec, tile = run.case.spec, run.trial.tiles[names[0]].shape[1:]
    found = f"{results.shape} {results.dtype}"
    if len(results) != len(names) or results.dtype.kind not in _kinds(spec.output_kind):
        return found
    if spec.output_kind == "labels":
        if results.dtype.kind == "i" and results.size and results.min() < 0:
            return f"labels down to {results.min()}"
        return "" if results.shape[1:] == tile else found
    if spec.output_kind == "map":
        return "" if results.ndim == 2 + len(tile) and _divides(results, tile) else found
    form, dims = OUTPUT_TYPES[spec.form], spec.output_spatial_dims
    if results.ndim != (form.ndim or 2 + len(tile)):
        return found
    dense = form.result == "map" and dims is not None and names[0] != "corner"
    return found if dense and results.shape[2:] != dims else ""


def _kinds(kind: str) -> str:
    return "iu" if kind == "labels" else "f"


def _divides(results: Array, tile: tuple[int, ...]) -> bool:
    return all(n and side % n == 0 for side, n in zip(tile, results.shape[2:], strict=True))


def values(run: Run) -> Iterator[Violation]:
    """Results are finite, and two tiles that differ give two results."""
    one, other = (run.trial.answer(n).results for n in "ab")
    if one is None or other is None:
        return
    where = run.case.at("output_kind")
    if one.dtype.kind == "f" and not (np.isfinite(one).all() and np.isfinite(other).all()):
        where = run.case.at("precision")
        yield Violation(
            where, "there is NaN or infinity in the results", "look at precision and std"
        )
    elif np.array_equal(one, other) and run.case.spec.output_kind == "labels" and not one.any():
        message = "nothing is found in either of two pictures of cells"
        yield Violation(where, message, "look at the parameters' defaults", WARNING)
    elif np.array_equal(one, other):
        yield Violation(where, "two tiles that differ give one result", "mend the script")


def batches(run: Run) -> Iterator[Violation]:
    """A tile gives the same alone and beside another, and the same when asked again."""
    alone, both = run.trial.answer("a").results, run.trial.answer("a", "b").results
    if alone is None or both is None or len(both) != 2:
        return
    spec = run.case.spec
    problem = unlike(both[0], alone[0], spec.output_kind, spec.precision)
    where = run.case.at("batch_size")
    if problem and _finite(alone):
        message = f"beside another tile, {problem} alone"
        yield Violation(where, message, "predict must treat each tile by itself")
    again = run.trial.ask(run.trial.tiles["a"][None]).results
    if again is None or not np.array_equal(again, alone, equal_nan=alone.dtype.kind == "f"):
        yield Violation(where, "the same tile gives another result", "fix its random seed", WARNING)


def _finite(results: Array) -> bool:
    return bool(results.dtype.kind != "f" or np.isfinite(results).all())


def channel_order(run: Run) -> Iterator[Violation]:
    """A model of colour gives something else when red and blue are swapped."""
    if not is_coloured(run.case.spec.color_space):
        return
    one, other = run.trial.answer("a").results, run.trial.answer("swapped").results
    if one is None or other is None or not one.any():
        return
    second = run.trial.answer("b").results
    if second is None or np.array_equal(one, second):  # it changes with nothing at all
        return
    if np.allclose(one, other, rtol=ROUNDING, atol=ROUNDING * float(np.abs(one).max())):
        space = run.case.spec.color_space
        message = f"color_space is {space}, and swapping red and blue changes nothing"
        fix = "write GRAY, if it takes grey; else look at how the script takes channels"
        yield Violation(run.case.at("color_space"), message, fix)


def normalised(run: Run) -> Iterator[Violation]:
    """What a model that wants normalised values sees has a mean under 3 and a std of 0.05 to 5."""
    spec, tile = run.case.spec, run.trial.tiles["a"]
    if not is_normalised(spec):
        return
    where = run.case.at("mean" if spec.mean is not None else "normalization")
    for number, channel in enumerate(tile):
        if spec.mean is None and not channel.any():  # a channel that the picture hasn't
            continue
        mean, std = float(channel.mean()), float(channel.std())
        if not is_usual(mean, std):
            message = f"channel {number} of a real tile has mean {mean:.3g} and std {std:.3g}"
            yield Violation(where, message, "look at input_range, mean and std")
            return


def golden(run: Run) -> Iterator[Violation]:
    """The golden tile gives the golden result, within the tolerance of its kind."""
    found = compare(run.trial, run.goldens, run.case.choice.task_name, run.case.variant)
    if found is None:
        message = f"there is no golden result of {run.case.choice.model_name}"
        fix = "make one on a machine you trust: --level 6 --write-golden"
        if run.case.variant is None:
            yield Violation(("versions", run.case.choice.version_key), message, fix, WARNING)
    elif found:
        fix = "find out why; if the change is meant, a new release has a new golden"
        yield Violation(
            ("versions", run.case.choice.version_key), f"the golden result: {found}", fix
        )


def hard_tiles(run: Run) -> Iterator[Violation]:
    """A tile at an image's end and tiles with nothing in them run without an error."""
    usual = run.trial.answer("a").results
    if usual is None or not _finite(usual):
        return
    for name, words in (
        ("black", "a black tile"),
        ("white", "a white tile"),
        ("corner", "a tile at the image's end"),
    ):
        answer: Outcome = run.trial.answer(name)
        if answer.results is None:
            message = f"{words} fails: {_short(answer.error)}"
            yield Violation(run.case.at("on_failure"), message, "let the script take empty tiles")
            return
        if not _finite(answer.results):
            message = f"{words} gives NaN or infinity"
            yield Violation(run.case.at("on_failure"), message, "let the script take empty tiles")
            return


def _short(error: str) -> str:
    """An error's own sentence, without what to do."""
    return error.partition(" The traceback is ")[0].rstrip(". ")
