"""A real encoder with four registers: the validator counts its tokens, as no schema can."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tilewright.environments import interpreters
from tilewright.environments.interpreters import child_env
from tilewright.validate.validate import Checked, check_files

MAKE = """
import sys, timm, torch
from safetensors.torch import save_file
torch.manual_seed(0)
vit = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=56, embed_dim=48,
                        depth=2, num_heads=3)
save_file({k: torch.randn_like(v) * 0.05 + v for k, v in vit.state_dict().items()}, sys.argv[1])
"""
CONFIG = "timm_args: {img_size: 56, embed_dim: 48, depth: 2, num_heads: 3}\n"
MANIFEST = """
name: Little
short_name: little
metadata: {{description: "A vision transformer in little, with four registers."}}
license: CC0-1.0
runner: timm
config: {config}
spec:
  tile_spec: {{size: 56, pad: white}}
  num_channels: 3
  color_space: RGB
  input_range: [0, 1]
  mean: [0.707223, 0.578729, 0.703617]
  std: [0.211883, 0.230117, 0.177517]
  architecture: vit_small_patch14_reg4_dinov2
  patch_size: 14
  num_prefix_tokens: {prefix}
  base_dim: 48
  output_kind: embedding
  output_type: cls+patch_mean
  embedding_dim: 96
  variants:
    dense: {{output_type: dense, embedding_dim: 48, output_spatial_dims: [4, 4]}}
  min_vram_gb: 1
versions:
  v1:
    release: "1"
    tasks:
      embed:
        locations: [{{location: {weights}, sha256: "{digest}", scope: here}}]
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in timm's own format."""
    python = interpreters.build("timm") / "bin" / "python"
    path = tmp_path_factory.mktemp("weights") / "little.safetensors"
    command = [str(python), "-c", MAKE, str(path)]
    subprocess.run(command, env=child_env(python.parents[1]), check=True, timeout=300)
    return path


def checked(folder: Path, weights: Path, prefix: int, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Level 5 of the manifest with a number of prefix tokens."""
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(folder / "kept"))
    monkeypatch.setenv("TILEWRIGHT_DEVICE", "cpu")
    (folder / "timm.yml").write_text(CONFIG)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    text = MANIFEST.format(
        config=folder / "timm.yml", prefix=prefix, weights=weights, digest=digest
    )
    (folder / "little.yml").write_text(text)
    return check_files([folder / "little.yml"], 5).manifests[0]


@pytest.mark.slow
def test_an_encoder_with_registers_counted_right_passes(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checked(tmp_path, weights, 5, monkeypatch)
    assert [str(f) for f in found.findings] == []
    assert found.level == 5
    built, default, variant = found.notes
    assert built == ("little-v1/embed: 21 tokens and 0.1 M parameters, built without its weights")
    assert default.startswith("little-v1/embed: ")
    assert variant.startswith("little-v1/embed/dense: ")


@pytest.mark.slow
def test_registers_are_counted_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEWRIGHT_WEIGHTS", str(tmp_path / "kept"))
    (tmp_path / "timm.yml").write_text(CONFIG)
    text = MANIFEST.format(
        config=tmp_path / "timm.yml", prefix=1, weights="https://127.0.0.1:9/gone", digest="0" * 64
    )
    (tmp_path / "little.yml").write_text(text)
    found = check_files([tmp_path / "little.yml"], 4, offline=True).manifests[0]
    assert [(f.id, f.severity) for f in found.findings] == [("R3", "error"), ("S20", "warning")]


@pytest.mark.slow
def test_an_encoder_whose_registers_are_not_counted_is_refused(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake of the H0-mini example in its source's own documentation."""
    found = checked(tmp_path, weights, 1, monkeypatch)
    assert [(f.id, f.severity) for f in found.findings] == [("R3", "error"), ("S20", "warning")]
    count, registers = found.findings
    assert (
        "has 5 CLS and register tokens, and the manifest's num_prefix_tokens is 1" in count.message
    )
    assert "has 4 registers, and num_prefix_tokens is 1" in registers.message
    assert count.line == registers.line
