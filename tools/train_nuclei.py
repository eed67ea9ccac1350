#!/usr/bin/env python3
"""Train, export and score `nuclei`, the model that comes with Tilewright.

    python tools/train_nuclei.py train --data DATA --out OUT     # an hour on 2 cores; --resume
    python tools/train_nuclei.py export --out OUT MODEL.onnx     # from the newest checkpoint
    python tools/train_nuclei.py tune --data DATA MODEL.onnx     # thresholds, on held-out images
    python tools/train_nuclei.py evaluate DATA/dev MODEL.onnx    # scores
    python tools/train_nuclei.py reach MODEL.onnx                # receptive field, by trial

DATA holds `train/` with `NAME.tif` and `NAME_labels.tif` (names start with fluo_ or he_).
The pipeline needs none of this; install it apart:

    pip install torch==2.15.0 onnx==1.23.2 onnxruntime==1.32.0
    pip install numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 tifffile==2026.3.3
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import torch
from nuclei import data, network
from torch import Tensor, distributed
from torch.nn import functional
from torch.utils.data import DataLoader

SIZE, BATCH = 160, 10  # crops of 160 px hold a whole receptive field with room around it
PEAK_RATE, WARM_UP = 3e-3, 300
DECAY = 0.998  # of the averaged weights: about the last 500 steps
SAVE_EVERY = 100


def share_gradients(net: torch.nn.Module) -> None:
    """Average the gradients over the processes."""
    grads = [p.grad for p in net.parameters()]
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for grad, new in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(new.view_as(grad))


def rate(step: int, steps: int) -> float:
    """Learning rate: up in a line, then down a cosine to nothing."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(steps - WARM_UP, 1)))


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Weighted cross-entropy of the three maps, and Dice of foreground and boundary.

    Parameters
    ----------
    logits
        (N, 3, H, W): foreground, boundary, distance.
    target
        (N, 5, H, W): those three, the weight of the first two, the weight of the distance.
    """
    want, weight = target[:, :3], target[:, [3, 3, 4]]
    plain = functional.binary_cross_entropy_with_logits(logits, want, reduction="none") * weight
    terms = plain.mean((0, 2, 3)) / weight.mean((0, 2, 3))
    parts = torch.tensor([1.0, 0.7, 1.5])
    chance = torch.sigmoid(logits[:, :2])
    both = (chance * want[:, :2] * weight[:, :2]).sum((0, 2, 3))
    either = ((chance + want[:, :2]) * weight[:, :2]).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (either + 1)
    return (terms * parts).sum() + 0.5 * dice[0] + 0.25 * dice[1]


class Run:
    """A training run that can stop and go on: network, averaged network, optimiser, step."""

    def __init__(self, out: Path, seed: int) -> None:
        torch.manual_seed(seed)
        self.path = out / "checkpoint.pt"
        self.net = network.Nuclei().to(memory_format=torch.channels_last)
        self.mean = network.Nuclei()
        self.mean.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(self.net.parameters(), PEAK_RATE, weight_decay=0.02)
        self.step = 0

    def save(self) -> None:
        """Replace the checkpoint."""
        state = {
            "net": self.net.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        draft = self.path.with_suffix(".draft")
        torch.save(state, draft)
        draft.replace(self.path)

    def load(self) -> None:
        """Go on from the checkpoint."""
        state = torch.load(self.path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def learn(self, images: Tensor, target: Tensor, steps: int) -> float:
        """One step; the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.step, steps)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(images)
        value = loss(logits.float(), target)
        self.optimiser.zero_grad()
        value.backward()
        share_gradients(self.net)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        self.average()
        return value.item()

    @torch.no_grad()
    def average(self) -> None:
        """Move the averaged network, batch statistics too, towards the network."""
        keep = min(DECAY, (1 + self.step) / (10 + self.step))
        for mine, new in zip(
            self.mean.state_dict().values(), self.net.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                mine.lerp_(new, 1 - keep)


def train(args: argparse.Namespace) -> None:
    """Train to the last step, saving on the way, then export."""
    args.out.mkdir(parents=True, exist_ok=True)
    meeting = args.out.resolve() / "meeting"
    meeting.unlink(missing_ok=True)
    torch.multiprocessing.spawn(work, (args, meeting.as_uri()), args.processes)


def work(rank: int, args: argparse.Namespace, meeting: str) -> None:
    """One process on one core: its share of every batch, gradients averaged over all.

    Threads inside a step meet hundreds of times, processes once: on a busy machine that is
    eight times as fast.
    """
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=args.processes
    )
    paths, held = data.split(data.label_paths(args.data / "train"), args.seed)
    run = Run(args.out, args.seed)
    if args.resume:
        run.load()
    share = BATCH // args.processes
    first = [i * BATCH + rank * share for i in range(run.step, args.steps)]
    todo = [i + j for i in first for j in range(share)]
    loader = DataLoader(data.Crops(data.load(paths), SIZE, args.seed), share, sampler=todo)
    if rank == 0:
        print(
            f"{len(paths)} images, {len(held)} held out, {network.parameters(run.net)} parameters"
        )
    follow(run, loader, args.steps, rank == 0)
    if rank == 0:
        network.export(run.mean, args.out / "nuclei.onnx")


def follow(run: Run, loader: DataLoader, steps: int, chief: bool) -> None:
    """Learn from every batch; the chief saves and prints."""
    began, losses = time.monotonic(), []
    for images, target in loader:
        losses.append(run.learn(images, target, steps))
        if chief and (run.step % SAVE_EVERY == 0 or run.step == steps):
            run.save()
            mean, spent = sum(losses) / len(losses), time.monotonic() - began
            print(f"step {run.step} of {steps}, loss {mean:.4f}, {spent:.0f} s", flush=True)
            losses = []


def export(args: argparse.Namespace) -> None:
    """Write the newest checkpoint's averaged network as ONNX."""
    run = Run(args.out, 0)
    run.load()
    network.export(run.mean, args.model)
    print(f"{args.model}: step {run.step}, {args.model.stat().st_size} bytes")


def tune(args: argparse.Namespace) -> None:
    """Try thresholds on the images held out of training."""
    from nuclei import score

    _, held = data.split(data.label_paths(args.data / "train"), args.seed)
    score.tune(args.model, held)


def evaluate(args: argparse.Namespace) -> None:
    """Score every image of a folder."""
    from nuclei import score

    score.evaluate(args.model, data.label_paths(args.folder), dict(args.set))


def reach(args: argparse.Namespace) -> None:
    """Measure the receptive field."""
    from nuclei import score

    print(f"radius {score.reach(args.model)} px, stride {network.STRIDE} px")


def setting(text: str) -> tuple[str, float]:
    """`name=value` of one post-processing parameter."""
    name, _, value = text.partition("=")
    return name, float(value)


def parse(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)

    def command(does: object, *names: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(does.__name__, help=does.__doc__)
        sub.set_defaults(does=does)
        for name in names:
            sub.add_argument(name, type=Path, **({"required": True} if name[0] == "-" else {}))
        return sub

    sub = command(train, "--data", "--out")
    sub.add_argument("--steps", type=int, default=7600, help="of 10 crops (default: 7600)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--processes", type=int, default=2, help="a divisor of 10 (default: 2)")
    sub.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    command(export, "--out", "model")
    command(tune, "--data", "model").add_argument("--seed", type=int, default=0)
    sub = command(evaluate, "folder", "model")
    sub.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE")
    command(reach, "model")
    return parser.parse_args(words)


def main() -> None:
    """Run the command named."""
    args = parse(sys.argv[1:])
    args.does(args)


if __name__ == "__main__":
    main()
