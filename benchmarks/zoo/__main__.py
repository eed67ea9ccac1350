"""Whether the registry's models run as their libraries do, and in tiles as in one.

    ./tilewright bench zoo stardist sam2
    ./tilewright bench zoo --all

Of each model that is named: its environment is built, weights are made in its library's format,
and its results are compared with its library's, and in tiles with those in one. The figures are
kept in benchmarks/zoo/measured/, and docs/models.md is written anew. Minutes per model; nothing is
downloaded but packages. Without a name the page's table is written from what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder is a package of its own

from tilewright.authoring.measured import FOLDER  # noqa: E402
from tilewright.cli import generate  # noqa: E402
from zoo.cases import CASES  # noqa: E402
from zoo.measure import of_model  # noqa: E402


def main() -> None:
    """Measure, keep, write the page."""
    models = sorted({case.model for case in CASES.values()})
    parser = argparse.ArgumentParser(prog="zoo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(models))
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--weights", type=Path, help="keep made weights in this folder")
    asked = parser.parse_args()
    unknown = set(asked.models) - set(models)
    if unknown:
        parser.error(f"no case has {', '.join(unknown)}; there are {', '.join(models)}")
    with tempfile.TemporaryDirectory() as own:
        place = asked.weights or Path(own)
        place.mkdir(parents=True, exist_ok=True)
        for model in models if asked.all else asked.models:
            kept = FOLDER / f"{model}.json"
            before = json.loads(kept.read_text()) if kept.exists() else {}
            figures = of_model(model, place, before)
            kept.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(figures, indent=1))
    print("\n".join(generate.write()) or "The page has these figures.")


if __name__ == "__main__":
    main()
