"""Every model_name, written by `./tilewright generate` from manifests/."""

from enum import StrEnum


class Models(StrEnum):
    """May stand wherever a model's name is taken."""

    CELLPOSE_CYTO = "cellpose-cyto"
    CELLPOSE_CYTO2 = "cellpose-cyto2"
    CELLPOSE_CYTO3 = "cellpose-cyto3"
    CELLPOSE_NUCLEI = "cellpose-nuclei"
    EMPANADA_DROPNET_V1 = "empanada-dropnet_v1"
    EMPANADA_MITONET_MINI_V1 = "empanada-mitonet_mini_v1"
    EMPANADA_MITONET_V1 = "empanada-mitonet_v1"
    EMPANADA_NUCLEONET_V1 = "empanada-nucleonet_v1"
    H0_MINI = "h0-mini"
    NUCLEI = "nuclei"
    SAM_MEDSAM = "sam-medsam"
    SAM_MICROSAM_BOUNDARIES = "sam-microsam-boundaries"
    SAM_MICROSAM_ORGANELLES = "sam-microsam-organelles"
    SAM_VIT_B = "sam-vit_b"
    SAM_VIT_H = "sam-vit_h"
    SAM_VIT_L = "sam-vit_l"
    STARDIST_2D_DEMO = "stardist-2d_demo"
    STARDIST_2D_PAPER_DSB2018 = "stardist-2d_paper_dsb2018"
    STARDIST_2D_VERSATILE_FLUO = "stardist-2d_versatile_fluo"
    STARDIST_2D_VERSATILE_HE = "stardist-2d_versatile_he"
    STARDIST_3D_DEMO = "stardist-3d_demo"
