"""The nuclei U-Net: which layers, how it is exported, and nothing about data or training.

No layer looks past a fixed reach (no norm over the tile, no attention, no global pooling), so a
tile with enough context gives the same bits as the whole image.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (16, 64, 96, 128)  # at strides 1, 2, 4, 8: 2.5 MB, about a second per megapixel
OUTPUTS = ("foreground", "boundary", "distance")
STRIDE = 8
OPSET = 17


class Block(nn.Sequential):
    """3 x 3 convolution, batch norm (folded at export), ReLU."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, 3, padding=1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(True)
        )


class Up(nn.Module):
    """Narrow by 1 x 1, repeat pixels twice, add the skip, convolve `depth` times."""

    def __init__(self, below: int, here: int, depth: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(below, here, 1)
        self.blocks = nn.Sequential(*(Block(here, here) for _ in range(depth)))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """(N, below, H/2, W/2) and (N, here, H, W) in, (N, here, H, W) out."""
        wide = functional.interpolate(self.narrow(below), scale_factor=2.0, mode="nearest")
        return self.blocks(wide + skip)  # a sum: joining costs ONNX Runtime as much as convolving


class Nuclei(nn.Module):
    """U-Net of total stride 8; logits of `OUTPUTS`."""

    def __init__(self) -> None:
        super().__init__()
        ins = (6, *CHANNELS[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(Block(a, b), Block(b, b)) for a, b in zip(ins, CHANNELS, strict=True)
        )
        # one convolution at stride 4, two above it: a reach of 47 px instead of 51
        self.up = nn.ModuleList(
            Up(CHANNELS[i + 1], CHANNELS[i], 1 if i == 2 else 2) for i in (2, 1, 0)
        )
        self.head = nn.Conv2d(CHANNELS[0], len(OUTPUTS), 1)

    def forward(self, tiles: Tensor) -> Tensor:
        """(N, 3, H, W) float32 scaled by percentiles in, (N, 3, H, W) logits out."""
        x = tiles.clamp(-0.5, 2.0)
        # lifts faint nuclei; a square root rounds alike everywhere, a logarithm may not
        x = torch.cat([x, torch.sqrt(x.clamp(min=0.0) + 0.01)], 1)
        skips = []
        for i, level in enumerate(self.down):
            x = level(x if i == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            x = up(x, skip)
        return self.head(x)


class Exported(nn.Module):
    """The network as shipped: the same, then a sigmoid."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, tiles: Tensor) -> Tensor:
        """(N, 3, H, W) float32 in, (N, 3, H, W) probabilities out."""
        return torch.sigmoid(self.net(tiles))


def parameters(net: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(p.numel() for p in net.parameters())


def export(net: nn.Module, path: Path) -> None:
    """Write `net` as one ONNX file with dynamic batch, height and width.

    Parameters
    ----------
    net
        Logits; batch norm is frozen and folded into the convolutions.
    path
        Replaced whole, never half written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    free = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        Exported(net).eval(),
        (torch.zeros(1, 3, 64, 64),),
        str(draft),
        input_names=["tiles"],
        output_names=["maps"],
        dynamic_axes={"tiles": free, "maps": free},
        opset_version=OPSET,
        dynamo=False,  # the tracer folds batch norm and leaves one plain graph
    )
    draft.replace(path)
