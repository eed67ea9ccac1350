"""An encoder's spec beside its network: where they differ, its tokens would be pooled wrongly.

Standard library only, Python >= 3.8, since model scripts ask it.
"""

from __future__ import annotations

from typing import Any

MEANINGS = {
    "num_prefix_tokens": "CLS and register tokens",
    "patch_size": "px a side of what one token stands for",
    "base_dim": "numbers in a token",
}


def agree(spec: dict[str, Any], **own: int) -> None:
    """Refuse a spec whose numbers aren't the network's.

    Parameters
    ----------
    spec
        As `load` gets it; what it doesn't say isn't compared.
    own
        The network's own numbers, by names of MEANINGS.

    Raises
    ------
    ValueError
        Naming the first that differs.
    """
    for name, found in own.items():
        said = spec.get(name)
        if said is not None and said != found:
            has = f"{spec['architecture']} has {found} {MEANINGS[name]}"
            raise ValueError(f"{has}, and the manifest's {name} is {said}")
