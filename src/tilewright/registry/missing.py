"""Models that others list and nobody outside can run, and what it takes to bring one."""

from __future__ import annotations

from tilewright.errors import UNAVAILABLE, TilewrightError

OUT_OF_REACH = {"seai_unet": "SEAI U-Net"}
"""Names of them, by short_name: no library, no weights and no licence can be had of any."""
WHY = "no library that runs it, no file of its weights and no licence can be had"
BRING = (
    "Who has it brings the network as TorchScript or ONNX, how its images were scaled, what its "
    'maps are, and a licence: docs/adding-a-model.md, under "A U-Net of one\'s own".'
)


def out_of_reach(short_name: str) -> TilewrightError:
    """What to raise where one of `OUT_OF_REACH` is asked for."""
    name = OUT_OF_REACH[short_name]
    return TilewrightError(
        f"The model {short_name} ({name}) can't be run: {WHY}.", fix=BRING, code=UNAVAILABLE
    )
