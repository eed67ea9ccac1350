"""Words that nobody means: thousands of characters, zero bytes, JSON that isn't a run's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from planning import grey, planned

from tilewright.cli.again import read, repeated
from tilewright.cli.launch import absolute, pipeline, where
from tilewright.cli.main import entry
from tilewright.errors import LONG_LINE, ProblemsError, TilewrightError, short, without_secrets
from tilewright.plan.params import PATHS, check_params
from tilewright.report.run_json import Results, describe

RUN: dict[str, Any] = {
    "params": {"input": {"value": "in", "from": "user"}}, "made_by": {}, "images": [],
    "profile": None, "configs": [], "launch_dir": ".", "model": {"release": "1"}, "weights": None,
}  # fmt: skip
WIDE, DIGITS = "x" * 100_000, "9" * 5000


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "5", "{", "\0", "[" * 100_000, DIGITS,
     *(json.dumps(RUN | {key: odd}) for key in RUN for odd in (5, [5], {"a": 5})
       if (key, odd) != ("made_by", {"a": 5}))],
    ids=lambda text: text[-12:],
)  # fmt: skip
def test_what_is_no_run_json_is_told_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(
        TilewrightError, match=r"run\.json: can't be repeated \(it isn't a run"
    ) as told:
        read(file)
    assert told.value.code == 2


@pytest.mark.parametrize("odd", [["x"], {"a": 1}, "a\0b", WIDE])
@pytest.mark.parametrize("name", [*PATHS, "tile_size", "nonsense"])
def test_odd_values_of_a_run_are_told_with_the_file_that_has_them(
    tmp_path: Path, name: str, odd: object
) -> None:
    grey(tmp_path / "in" / "a.tif")
    file = tmp_path / "run.json"
    told = RUN["params"] | {name: {"value": odd, "from": "user"}}
    file.write_text(json.dumps(RUN | {"launch_dir": str(tmp_path), "params": told}))
    with pytest.raises(TilewrightError) as caught:
        repeated(file, {})
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).splitlines())
    assert any(f"--{name}" in line for line in str(caught.value).splitlines())
    assert caught.value.code == 2


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(("said", "says"), [("a\0b", "holds what no"), (WIDE, "name too long")])
def test_what_can_be_no_path_is_a_wrong_parameter(name: str, said: str, says: str) -> None:
    params, problems = check_params({"input": ".", name: said})
    assert (params is None) == (name == "input")
    (problem,) = problems
    assert str(problem).startswith(f"--{name} '{said[0]}")
    assert says in str(problem).lower()
    assert len(str(problem)) < 300


@pytest.mark.parametrize("cell", [WIDE, "m" * 300 + ".tif"])
def test_a_cell_that_can_be_no_path_is_told_with_its_line(tmp_path: Path, cell: str) -> None:
    grey(tmp_path / "in" / "a.tif")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"image,mask\nin/a.tif,{cell}\n")
    with pytest.raises(ProblemsError, match=r"sheet\.csv, line 2: .* can't be a path: File name"):
        planned(tmp_path, input=str(sheet))


def test_a_scene_of_five_thousand_digits_is_one_that_isnt_there(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    with pytest.raises(ProblemsError, match=r"scene 9{20}.* was asked for and it has 1"):
        planned(tmp_path, scene=DIGITS)


def test_values_are_cut_and_digests_and_paths_are_not() -> None:
    digest = "0f" * 32
    path = "/".join(["d" * 255] * 12)
    assert short(f"{path} {digest}") == f"{path} {digest}"
    assert len(short("a/" * 2500)) < 400
    assert short(f"--mpp '{DIGITS}': no") == f"--mpp '{'9' * 60}… (5,000 characters)': no"
    assert short(short(WIDE)) == short(WIDE)
    line = short("ab " * 100_000 + "\nnext")
    assert line.endswith("\nnext")
    assert len(line) < LONG_LINE
    assert len(str(TilewrightError(WIDE, fix=WIDE))) < 300


def test_the_command_lines_own_words_are_cut_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tilewright", "plan", "--input", ".", "--publish", WIDE])
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "'--publish'" in told
    assert max(map(len, told.splitlines())) < 500


@pytest.mark.parametrize("place", ["a.tif", "a.tif/work"])
def test_a_work_folder_that_cant_be_written_is_refused_before_nextflow(
    tmp_path: Path, place: str
) -> None:
    grey(tmp_path / "a.tif")
    given = {"input": str(tmp_path / "a.tif"), "outdir": str(tmp_path / "out")}
    with pytest.raises(
        ProblemsError, match=f"--work_dir {tmp_path}/{place}: can't be writ"
    ) as told:
        pipeline(given, profile=None, work_dir=str(tmp_path / place))
    assert told.value.code == 2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.tif"]


SIGN = "X-Amz-Signature=0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"https://example.org/a/w.pt?{SIGN}&x=1",
        f"'https:/example.org/a/w.pt?{SIGN}'",
        "https://me:0123456789abcdef@example.org/w.pt",
        "s3://0123456789abcdef@bucket/w.pt",
        "https://example.org/w.pt#token=0123456789abcdef",
        "--set token=0123456789abcdef",
        "HF_TOKEN=0123456789abcdef",
        "hf_0123456789abcdefghij",
        "ghp_0123456789abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.0123456789abcdef.0123456789abcdef",
    ],
)
def test_secrets_are_in_no_sentence(text: str) -> None:
    for told in (without_secrets(text), str(TilewrightError(text, fix=text))):
        assert "0123456789abcdef" not in told
        assert "…" in told


@pytest.mark.parametrize(
    "text",
    ["https://example.org/a/w.pt", "hf:owner/name@0123456/file", "a?b.tif", "class_token=mean",
     "--set pooling=token", "0f" * 32, "What? No.", "/home/me@work/a.tif", "C:/a b/c?.tif"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("name", PATHS)
def test_an_address_in_place_of_a_path_is_refused_without_its_signature(name: str) -> None:
    with pytest.raises(TilewrightError, match=r"example.*it is an address, and a path") as told:
        absolute({name: f"https://example.org/a?{SIGN}"})
    assert "0123456789abcdef" not in str(told.value)
    assert told.value.code == 2


def test_a_runs_command_tells_no_secret(tmp_path: Path) -> None:
    grey(tmp_path / "in" / "a.tif")
    plan = planned(tmp_path)
    context: Any = {"launch_dir": str(tmp_path), "trace": "none", "work_dir": ".",
                    "nextflow": "25", "params": {}}  # fmt: skip
    command = (
        f"nextflow run x --weights 'https://example.org/w?{SIGN}' --hf hf_0123456789abcdefghij"
    )
    for said in ({"command": command}, {"started": json.dumps(
            {"command": command, "profile": None, "configs": []})}):  # fmt: skip
        run = describe(plan.file, plan.recipe, Results({}, []), context | said)
        assert "0123456789abcdef" not in json.dumps(run.to_dict())
        assert "https://example.org/w?…" in str(run.command)


@pytest.mark.parametrize(
    ("name", "says"),
    [("gone", "No such file"), ("pipe", "it is a pipe"), ("folder", "Is a directory"),
     ("picture.tif", "it isn't text")],
)  # fmt: skip
def test_a_config_that_nextflow_cant_read_is_refused_before_it_starts(
    tmp_path: Path, name: str, says: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    grey(tmp_path / "picture.tif")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TilewrightError, match=says) as refused:
        where(None, (str(tmp_path / name),))
    assert str(refused.value).startswith(f"--config {tmp_path / name}: can't be read (")
    assert refused.value.code == 2
