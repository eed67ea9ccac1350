"""Every model_name, written by `./tilewright generate` from manifests/."""

from enum import StrEnum


class Models(StrEnum):
    """May stand wherever a model's name is taken."""

    CELLPOSE_CYTO = "cellpose-cyto"
    CELLPOSE_CYTO2 = "cellpose-cyto2"
    CELLPOSE_CYTO3 = "cellpose-cyto3"
    CELLPOSE_NUCLEI = "cellpose-nuclei"
    H0_MINI = "h0-mini"
    NUCLEI = "nuclei"
    SAM_MEDSAM = "sam-medsam"
    SAM_MICROSAM_BOUNDARIES = "sam-microsam-boundaries"
    SAM_MICROSAM_ORGANELLES = "sam-microsam-organelles"
    SAM_VIT_B = "sam-vit_b"
    SAM_VIT_H = "sam-vit_h"
    SAM_VIT_L = "sam-vit_l"
    SAM2_HIERA_BASE = "sam2-hiera_base"
    SAM2_HIERA_LARGE = "sam2-hiera_large"
    SAM2_HIERA_SMALL = "sam2-hiera_small"
    SAM2_HIERA_TINY = "sam2-hiera_tiny"
    SAM2_1_HIERA_BASE = "sam2.1-hiera_base"
    SAM2_1_HIERA_LARGE = "sam2.1-hiera_large"
    SAM2_1_HIERA_SMALL = "sam2.1-hiera_small"
    SAM2_1_HIERA_TINY = "sam2.1-hiera_tiny"
    STARDIST_2D_DEMO = "stardist-2d_demo"
    STARDIST_2D_PAPER_DSB2018 = "stardist-2d_paper_dsb2018"
    STARDIST_2D_VERSATILE_FLUO = "stardist-2d_versatile_fluo"
    STARDIST_2D_VERSATILE_HE = "stardist-2d_versatile_he"
    STARDIST_3D_DEMO = "stardist-3d_demo"
