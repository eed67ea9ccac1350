"""InstanSeg: a small network that finds discs, in its library's own format, and that file called.

make FOLDER FILE: write one, with `PACKAGES` beside the environment; the file needs torch alone.
call WEIGHTS TILE.npy OUT.npy PARAMS: the labels that the file gives of a tile.

The weights are set by hand: a pixel belongs to the nearest centre, if it is bright and near, and
centres are where the blurred picture peaks. Training it would take minutes.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

PACKAGES = (
    "instanseg-torch==0.1.2",
    *("einops==0.8.2", "fastremap==1.21.0", "tqdm==4.70.1", "pandas==3.1.1", "seaborn==0.13.2"),
    *("matplotlib==3.11.2", "contourpy==1.3.3", "cycler==0.12.1", "fonttools==4.68.0"),
    *("kiwisolver==1.5.1", "pyparsing==3.3.3", "python-dateutil==4.0.0", "six==1.17.0"),
)
"""What the library needs to be imported, beside torch, NumPy and scikit-image."""
SHOWN, BLURRED = 0, 1  # the network's channels
UNIT = 4.0  # pixels of the library's coordinates
SEEN = {1: (1.0,), 2: (0.6, 1.0)}  # how bright the picture is to each map, by how many there are
NEAR = 9.0  # pixels from a centre to the farthest pixel of its object
SUM = (1, 1, 2**-0.5, 2**-0.5)  # of four axes, 45 degrees apart: about the distance times SCALE
SCALE = 1 + 2**0.5


def only(layer, weight=None, bias=None):
    """Leave a layer with nothing but `weight` and `bias`, {index: value}."""
    layer.weight.zero_()
    layer.bias.zero_()
    for index, value in (weight or {}).items():
        layer.weight[index] = value
    for index, value in (bias or {}).items():
        layer.bias[index] = value


def blur(convs, into):
    """A chain of convolutions, of which the first takes channel `into`: the mean of 3 x 3 each."""
    for conv, source in zip(convs, (into, *[BLURRED] * 3), strict=True):
        only(conv[0], {(BLURRED, source): 1 / 9})


def see(network):
    """One channel shows the picture, the other blurs it, at half its size and then at all."""
    full, half = network.encoder
    for block in (full, half):
        for conv in (block.conv0, block.conv1, block.conv2, block.conv3, block.conv4):
            only(conv[0])
    only(full.conv0[0], {(SHOWN, 0): 1})
    blur((half.conv1, half.conv2, half.conv3, half.conv4), SHOWN)
    for decoder, bright in zip(network.decoders, SEEN[len(network.decoders)], strict=True):
        at_full_size(decoder.decoder[0])
        shift, shown, centre = decoder.final_block
        only(shift[0])
        only(shown[0], {(0, SHOWN): bright})
        only(centre[0], {(0, BLURRED): 15 / 4}, {0: -15 / 2})


def at_full_size(block):
    """Both channels at full size."""
    for conv in (block.conv0, block.conv_skip):
        only(conv[0])
    blur((block.conv1, block.conv2, block.conv3, block.conv4), BLURRED)
    only(block.conv_skip[0], {(SHOWN, SHOWN): 1})
    block.conv2[0].weight[SHOWN, SHOWN, 1, 1] = 1


def belong(classifier):
    """Bright, and not far from the centre."""
    ways = torch.tensor([[1, 0], [0, 1], [1, 1], [1, -1]], dtype=torch.float32)
    first, second, last = classifier.fc1, classifier.fc2, classifier.fc3
    only(first, {(8, 2): 1})
    first.weight[:4, :2], first.weight[4:8, :2] = ways, -ways
    only(second, {(n, n): 1 for n in range(9)})
    steep = 40 / SCALE * UNIT / NEAR
    lines = {(0, n): -steep * SUM[n % 4] for n in range(8)} | {(0, 8): 100}
    only(last, lines, {0: -30})


def make(folder, file):
    """Write the network as a TorchScript file, in a zip as InstanSeg publishes its own."""
    with tempfile.TemporaryDirectory() as place:
        install = ["uv", "pip", "install", "-q", "--python", sys.executable, "--target", place]
        subprocess.run([*install, "--no-deps", *PACKAGES], check=True)
        sys.path.append(place)
        from instanseg.utils.loss.instanseg_loss import InstanSeg, InstanSeg_Torchscript
        from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet

        both = "cells" in file
        maps = [[2, 2, 1]] * (2 if both else 1)
        network = InstanSeg_UNet(in_channels=1, layers=[2, 2], out_channels=maps, norm=None)
        InstanSeg(n_sigma=2, device="cpu").initialize_pixel_classifier(network)
        with torch.no_grad():
            see(network)
            belong(network.pixel_classifier)
        whole = InstanSeg_Torchscript(
            network, n_sigma=2, pixel_size=0.5, backbone_dim_in=1, cells_and_nuclei=both
        )
        torch.jit.script(whole).save(Path(place) / "instanseg.pt")
        with zipfile.ZipFile(Path(folder) / file, "w") as archive:
            archive.write(Path(place) / "instanseg.pt", f"{Path(file).stem}/instanseg.pt")


def call(weights, tile, out, params):
    """Keep the labels (Y, X) that the file gives of a tile (1, Y, X)."""
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(weights) as archive:
        network = torch.jit.load(archive.extract(f"{Path(weights).stem}/instanseg.pt", place))
    found = network(torch.from_numpy(np.load(tile))[None])
    np.save(out, found[0, 0].numpy().astype(np.int32))


if __name__ == "__main__":
    {"make": make, "call": call}[sys.argv[1]](*sys.argv[2:])
