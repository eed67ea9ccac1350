"""`doctor --plugin`: whether the plugin on this machine will work with this checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tilewright.aiod import doctor_plugin
from tilewright.aiod.adapter import image_id
from tilewright.aiod.previews import MASKS_MARK
from tilewright.environments import doctor, interpreters
from tilewright.errors import TilewrightError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose login shell finds what is in its `bin`; the variable is set."""
    folder = tmp_path / "home"
    (folder / "bin").mkdir(parents=True)
    (folder / ".profile").write_text(f"export PATH='{folder}/bin:/usr/bin:/bin'\n")
    monkeypatch.setenv("HOME", str(folder))
    root = tmp_path / "checkout"
    root.symlink_to(interpreters.ROOT)
    monkeypatch.setattr(interpreters, "ROOT", root)
    monkeypatch.setenv("AIOD_NXF_REPO", str(root))
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_machine_on_which_the_plugin_works(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(home / "bin" / "nextflow", "echo '      version 25.04.3 build 5949'")
    findings = {f.what: f for f in map(doctor.look, doctor_plugin.PLUGIN_CHECKS)}
    wrong = {f.what: f.found for f in findings.values() if f.state == doctor.WRONG}
    assert not wrong
    assert findings["login shell"].found == f"Nextflow 25.04.3 ({home}/bin/nextflow)"
    assert "local" in findings["profiles"].found
    assert findings["models"].found.startswith("cellpose, ")
    run, _, without = findings["models"].found.partition("; not yet: ")
    assert "stardist" in run.split(", ")
    assert "seai_unet" in without.split(", ")
    assert doctor.main(doctor_plugin.asked(["--plugin"])) in (0, 69)
    assert "AIOD_NXF_REPO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "found"), [("", "no Nextflow"), ("24.10.1", "Nextflow 24.10.1, older than 25.04")]
)
def test_the_login_shells_nextflow_counts(home: Path, version: str, found: str) -> None:
    if version:
        program(home / "bin" / "nextflow", f"echo 'version {version} build 1'")
    finding = doctor_plugin.check_login()
    assert (finding.state, finding.found) == (doctor.WRONG, found)
    assert finding.fix.startswith("Write this line into ~/.profile: export PATH=")


def test_the_variable_must_name_this_checkout(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for said in ("", "/somewhere/else", os.path.relpath(tmp_path / "checkout")):
        monkeypatch.setenv("AIOD_NXF_REPO", said)
        finding = doctor_plugin.check_variable()
        assert finding.state == doctor.WRONG
        assert finding.fix.endswith(f"export AIOD_NXF_REPO={tmp_path}/checkout")
    monkeypatch.setattr(interpreters, "ROOT", tmp_path / "check out")
    assert "has a space or a special letter" in doctor_plugin.check_variable().found


def test_another_plugin_and_a_folder_that_cannot_be_written_are_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(home / "bin" / "python", "echo 0.3.0")
    monkeypatch.setenv("PATH", f"{home}/bin")
    finding = doctor_plugin.check_plugin()
    assert (finding.state, finding.found) == (doctor.WRONG, f"0.3.0 ({home}/bin/python)")
    assert "pip install aiod-napari==0.2.2" in finding.fix
    (home / ".nextflow").write_text("in the way")
    assert "can't be written" in doctor_plugin.check_folder().found
    monkeypatch.setenv("HOME", str(tmp_path / "my home"))
    assert "has a space" in doctor_plugin.check_folder().found


@pytest.mark.parametrize(
    ("said", "state", "found"),
    [
        (doctor_plugin.MASK_NAME, doctor.OK, "those of aiod-utils 0.9"),
        ("a.b_masks_0a_all.rle", doctor.WRONG, "aiod-utils 0.9 looks for a.b_masks_0a_all.rle"),
        ("", doctor.WRONG, "aiod-utils can't be asked"),
    ],
)
def test_the_installed_aiod_utils_is_asked_what_it_calls_a_mask(
    said: str, state: str, found: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        home / "bin" / "python", f"case $2 in *aiod_utils*) echo '0.9 {said}';; *) echo 1;; esac"
    )
    monkeypatch.setenv("PATH", f"{home}/bin")
    finding = doctor_plugin.check_names()
    assert (finding.state, finding.found) == (state, found)
    assert ("pip install aiod-utils==0.2.0" in (finding.fix or "")) == (state == doctor.WRONG)


def test_the_name_that_is_asked_for_is_the_one_we_write() -> None:
    stem = f"{image_id(Path('a.b.ome.tif'))}_c1{MASKS_MARK}0a"
    assert f"{stem}_all.rle" == doctor_plugin.MASK_NAME


def test_a_python_without_the_plugin_is_no_fault(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{home}/bin")
    assert doctor_plugin.check_plugin().state in (doctor.ABSENT, doctor.OK)


def test_a_profile_that_nextflow_does_not_know_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "other"
    (root / "profiles").mkdir(parents=True)
    (root / "nextflow.config").write_text("includeConfig 'profiles/local.conf'")
    monkeypatch.setattr(interpreters, "ROOT", root)
    for name, found in (("", "none can't"), ("local", "local"), ("crick", "crick can't be chosen")):
        if name:
            (root / "profiles" / f"{name}.conf").touch()
        assert found in doctor_plugin.check_profiles().found


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(
        TilewrightError, match=r"doctor has no option --plugins. It takes --plugin."
    ):
        doctor_plugin.asked(["--plugins"])
