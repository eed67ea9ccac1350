"""A crop with several values: as a run has it, on a page, the model loaded once."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from running import Checkout, labels, level0, run_json

from tilewright import ROOT
from tilewright.cli import main
from tilewright.tuning import trial as trials
from tilewright.tuning.page import command, render
from tilewright.tuning.pictures import DARK, LIGHT
from tilewright.tuning.trial import LOG, Trial, run_trial

IMAGE = ROOT / "examples" / "nuclei" / "tissue.tif"
REGION = (40, 60, 150, 170)


def tried(*words: str) -> Result:
    return CliRunner().invoke(main.main, ["try", *words])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, Path, list[str]]:
    """Three values of `nuclei` on a crop, where its stores are, and what was said."""
    folder, said = tmp_path_factory.mktemp("try"), []  # type: ignore[var-annotated]
    given = {"input": str(IMAGE), "region": ",".join(map(str, REGION))}
    given["outdir"] = str(folder / "out")
    values = [{"min_area": n} for n in ("30", "300", "100000")]
    return run_trial(given, values, folder, folder / "work", said.append), folder, said


def test_each_value_has_its_objects_and_the_model_is_loaded_once(
    done: tuple[Trial, Path, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [one.image.objects for one in done[0].tried if one.image]
    assert found[0] > found[1] > found[2] == 0  # type: ignore[operator]
    begun: list[object] = []
    real = trials.process_of
    monkeypatch.setattr(trials, "process_of", lambda *a: (begun.append(a), real(*a))[1])
    given = {"input": str(IMAGE), "region": "0,0,64,64", "outdir": str(tmp_path / "out")}
    values = [{"min_area": n} for n in ("1", "2")]
    run_trial(given, values, tmp_path, tmp_path / "work", lambda _: None)
    assert len(begun) == 1


def test_what_is_done_is_said(done: tuple[Trial, Path, list[str]]) -> None:
    assert done[2][0] == "--region 40,60,150,170; 3 combinations"
    assert done[2][1].startswith("  1/3 min_area=30: ")


def test_the_page_has_each_picture_figure_and_command(done: tuple[Trial, Path, list[str]]) -> None:
    page = render(
        done[0], {"input": "a b.tif", "outdir": "x", "region": "0,0,1,1"}, Path("/here it is")
    )
    assert page.count("data:image/png;base64,") == 3
    assert page.count("data:image/jpeg;base64,") == 1
    run = f"{ROOT}/tilewright run --input &#39;a b.tif&#39; --set min_area=300"
    assert f"cd &#39;/here it is&#39; &amp;&amp; {run}<" in page
    assert "min_area=30 <small>as the model has it</small>" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("grey", range(0, 256, 15))
def test_outlines_show_on_white_nuclei_and_on_black_and_all_between(grey: int) -> None:
    """One of the line's two colours has at least 3:1 to what it lies on (WCAG 2.2, 1.4.11)."""

    def luminance(colour: np.ndarray) -> float:
        part = colour[:3] / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    below = np.full(3, float(grey))
    ratios = []
    for *colour, opacity in (LIGHT, DARK):
        share = opacity / 255
        one, other = luminance(np.array(colour) * share + below * (1 - share)), luminance(below)
        ratios.append((max(one, other) + 0.05) / (min(one, other) + 0.05))
    assert max(ratios) >= 3


def test_a_command_is_the_whole_runs(tmp_path: Path) -> None:
    given = {"input": "i.tif", "model": "x", "region": "0,0,1,1", "outdir": "o", "gpus": None}
    said = command(given, {"a": "1", "b": "[1,2]"}, tmp_path)
    run = f"{ROOT}/tilewright run --input i.tif --model x --set 'a=1,b=[1,2]'"
    assert said == f"cd {tmp_path} && {run}"


def test_one_combination_of_a_region_that_is_cut_is_said_as_it_is(tmp_path: Path) -> None:
    words = ["--input", str(IMAGE), "--set", "min_area=30", "--outdir", str(tmp_path)]
    done = tried(*words, "--region", "200,250,900,900")
    assert done.exit_code == 0, done.output
    said = "as far as the image goes: --region 200,250,56,70; 1 combination\n"
    assert done.output.startswith(said)
    page = (tmp_path / "try.html").read_text()
    assert "As far as the image goes: <code>--region 200,250,56,70</code>" in page
    assert "nuclei: 1 combination on tissue" in page
    assert {p.name for p in tmp_path.iterdir()} == {"try.html", "try.log"}


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (["--set", "min_are=1,2"], "Say --set min_area=VALUE, with a whole number", 2),
        (["--set", "split_ratio=0.5,3"], "split_ratio is 3; it takes at most 1", 2),
        (["--set", "3"], "has no name in front of it", 2),
        (["--set", "min_area=1", "--region", "9999,0,1,1"], "--region starts at 9999,0", 65),
        (
            ["--set", "a=1", "--model", "h0mini", "--mpp", "0.5"],
            "only objects are compared here",
            2,
        ),
        (["--set", "min_area=1", "--input", str(IMAGE.parent)], "there are 2 images, and one", 2),
        (["--set", "min_area=1", "--input", "/no/such.tif"], "no/such.tif", 65),
    ],
)
def test_what_cant_be_tried_is_one_sentence_and_nothing_is_made(
    words: list[str], says: str, code: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = tried("--input", str(IMAGE), *words, "--outdir", str(out))
    assert says in str(run.exception)
    assert getattr(run.exception, "code", None) == code
    assert not out.exists()


def test_a_value_over_which_the_model_fails_leaves_the_others_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`labels` of a network that gives shares of 1 is refused by the script, tile by tile."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "n.yml").write_text(
        json.dumps(
            {
                "short_name": "nuclei",
                "extends": True,
                "params": [
                    {"name": "P", "arg_name": "postprocess", "value": ["watershed", "labels"]}
                ],
            }
        )
    )
    given = {"input": str(IMAGE), "region": "0,0,64,64", "outdir": str(tmp_path / "out")}
    given["manifests"] = str(tmp_path / "m")
    values = [{"postprocess": v} for v in ("labels", "watershed")]
    found = run_trial(given, values, tmp_path, tmp_path / "work", lambda _: None).tried
    assert "which is no label" in str(found[0].why)
    assert found[1].store
    assert "which is no label" in render(Trial(REGION, "", found), given, tmp_path)
    assert capfd.readouterr().err == ""
    assert str(found[0].why).endswith("The traceback is in try.log.")
    assert "Traceback (most recent call last)" in (tmp_path / "work" / LOG).read_text()


@pytest.mark.slow
def test_objects_are_those_of_a_run_with_the_same_set_and_region(
    done: tuple[Trial, Path, list[str]], checkout: Checkout, tmp_path: Path
) -> None:
    trial, _, _ = done
    one = trial.tried[1]
    words = ["run", "--input", IMAGE, "--outdir", tmp_path / "out", "--set", "min_area=300"]
    words += ["--region", ",".join(map(str, REGION))]
    ran = checkout.cli(*words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    ours = level0(Path(str(one.store)), "labels/nuclei")
    assert np.array_equal(ours, labels(tmp_path / "out", "tissue", "nuclei"))
    (image,) = run_json(tmp_path / "out")["images"]
    assert one.image is not None
    assert (image["objects"], image["area_px"]) == (one.image.objects, one.image.area_px)


@pytest.mark.slow
def test_nextflow_itself_takes_a_set_and_refuses_a_models_own_parameter(
    checkout: Checkout, tmp_path: Path
) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = checkout.nextflow("--input", IMAGE, "--outdir", tmp_path / "out", *words)
        return subprocess.run(
            command, cwd=tmp_path, env=checkout.env, capture_output=True, text=True, check=False
        )

    wrong = run("--min_area", 100)
    assert "Say --set min_area=100." in wrong.stdout + wrong.stderr
    assert run("--set", "min_area=300,max_area=900").returncode == 0
    said = run_json(tmp_path / "out")
    assert said["params"]["set"] == {"value": "min_area=300,max_area=900", "from": "user"}
    assert [said["model_params"][n] for n in ("min_area", "max_area")] == [300, 900]
