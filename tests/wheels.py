"""A package that can be installed without a network."""

import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: brick\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path, asks: str = "") -> None:
    """Write the wheel of `brick` into a folder; `asks` ends its metadata."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "brick-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("brick.py", "SIZE = 4\n")
        wheel.writestr("brick-1.0.dist-info/METADATA", METADATA + asks)
        wheel.writestr("brick-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("brick-1.0.dist-info/RECORD", "")
