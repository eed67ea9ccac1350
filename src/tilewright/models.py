"""Every model_name, written by `./tilewright generate` from manifests/."""

from enum import StrEnum


class Models(StrEnum):
    """May stand wherever a model's name is taken."""

    CELLPOSE_CYTO = "cellpose-cyto"
    CELLPOSE_CYTO2 = "cellpose-cyto2"
    CELLPOSE_CYTO3 = "cellpose-cyto3"
    CELLPOSE_NUCLEI = "cellpose-nuclei"
    NUCLEI = "nuclei"
