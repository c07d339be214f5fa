"""What tables and figures call methods, tasks and protocols, and in which order."""

from __future__ import annotations

HEADS = {
    "mean": "training mean",
    "ridge": "ridge",
    "smoothed_ridge": "smoothed ridge",
    "kernel_ridge": "kernel ridge",
    "reduced_rank": "kernel ridge of reduced rank",
    "random_forest": "random forest",
    "xgboost": "XGBoost",
}
LABELS = {
    **{key: f"encoder + {head}" for key, head in HEADS.items()},
    "stnet": "ST-Net, frozen trunk",
    "stnet_finetuned": "ST-Net",
    "bleep": "BLEEP",
    "histogene": "HisToGene",
    "hist2st": "Hist2ST",
    "triplex": "TRIPLEX",
    "flow": "flow (our denoiser alone)",
    "flow_nb": "flow, NB prior",
    "flow_zero": "flow, zero prior",
    "flow_gaussian": "flow, Gaussian prior",
    "flow_empirical": "flow, empirical prior",
    "flow_egnn": "flow, EGNN denoiser",
    "flow_e2cnn": "flow, E(2)-steerable denoiser",
    "flow_no_fm": "flow, without flow matching",
    "flow_no_fa": "flow, without frames",
    "stflow": "stflow (this library)",
    "flow_epoch_on_test": "flow, epoch chosen on test (not a result)",
}
OURS = "stflow"
PEEKING = "flow_epoch_on_test"
PUBLISHED_AS = {PEEKING: "flow"}
VARIANTS = {
    "priors": ("flow", "flow_nb", "flow_zero", "flow_gaussian", "flow_empirical"),
    "architectures": ("flow", "flow_egnn", "flow_e2cnn"),
    "ablation": ("flow", "flow_no_fm", "flow_no_fa"),
}

FOLDS = {
    "IDC": 4,
    "PRAD": 2,
    "PAAD": 3,
    "SKCM": 2,
    "COAD": 2,
    "READ": 2,
    "CCRCC": 6,
    "HCC": 2,
    "LUNG": 2,
    "LYMPH_IDC": 4,
}
AVERAGES = {
    "average of 9 tasks": [task for task in FOLDS if task != "HCC"],
    "average of 10 tasks": list(FOLDS),
}
FIELD = {
    "her2st-patients-smoothed": "Leave one patient out, labels averaged over 3 x 3 spots",
    "her2st-patients": "Leave one patient out, labels as measured",
    "her2st-sections": "Leave one section out, others of the patient in training",
}


def method_label(method: str, encoder: str = "") -> str:
    """Name a method, with its encoder when that is given."""
    if encoder and method in HEADS:
        return f"{encoder} + {HEADS[method]}"
    label = LABELS.get(method, method)
    return f"{label}, {encoder}" if encoder else label


def method_rank(method: str) -> int:
    """Place of a method in tables; unknown ones come last."""
    return list(LABELS).index(method) if method in LABELS else len(LABELS)


def task_rank(task: str) -> tuple[bool, int, str]:
    """Place of a task in tables: those of HEST-bench as the paper has them, averages last."""
    if task.startswith("average of "):
        return True, int(task.split()[2]), task
    return False, list(FOLDS).index(task) if task in FOLDS else len(FOLDS), task
