"""Write benchmarks/zoo/encoders.json: what each encoder's network is, built without its weights.

    python tools/encoders.py           # all encoders whose environments are there, or can be built

docs/models.md shows these figures beside those of the manifests; `./tilewright generate` puts them
there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
from tilewright.authoring.encoders import FIGURES, encoders  # noqa: E402 - it isn't installed
from tilewright.environments import interpreters  # noqa: E402
from tilewright.registry.manifest import ENCODER_RUNNERS  # noqa: E402
from tilewright.registry.registry import Registry, ResolvedModel  # noqa: E402
from tilewright.validate.network import Network, networks  # noqa: E402
from tilewright.weights.config_files import config_values  # noqa: E402


def built(choices: list[ResolvedModel]) -> dict[str, Network]:
    """Each encoder's network, by its model_name."""
    found: dict[str, Network] = {}
    for runner in ENCODER_RUNNERS:
        mine = [choice for choice in choices if choice.manifest.runner == runner]
        asked = [(choice.spec(), values(choice)) for choice in mine]
        if mine:
            python = interpreters.build(runner) / "bin" / "python"
            made = networks(asked, python, ROOT / "bin" / f"run_{runner}.py")
            found |= {c.model_name: one for c, one in zip(mine, made, strict=True)}
    return found


def values(choice: ResolvedModel) -> dict[str, object]:
    """What the script gets as parameters."""
    address = choice.config(next(iter(choice.task.locations), None))
    return choice.values({}, config_values(address, ROOT), address)


def figures(made: dict[str, Network]) -> dict[str, dict[str, object]]:
    """What is kept of each network."""
    kept = {n: {"tokens": m.tokens, "parameters": m.parameters} for n, m in made.items()}
    return dict(sorted(kept.items()))


def main() -> None:
    """Build them and write the file."""
    made = built(encoders(Registry.load()))
    wrong = {name: one.error for name, one in made.items() if one.error}
    if wrong:
        sys.exit("\n".join(f"{name}: {why}" for name, why in wrong.items()))
    FIGURES.write_text(json.dumps(figures(made), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
