"""Every setting of a run, in one frozen dataclass a profile, and the folders."""

import dataclasses
import difflib
import os
from dataclasses import dataclass
from pathlib import Path

CLASSES = ("meningioma", "glioma", "pituitary")
"""Class names in the order of the published labels 1, 2, 3 (index 0, 1, 2 here)."""

NO_TUMOR = "no tumor"
"""A looking network's last output, beside the classes: its probability is p_no tumor."""


class UnknownProfileError(ValueError):
    """A profile name that does not exist."""


@dataclass(frozen=True)
class Profile:
    """One way to run the study; two runs with equal profiles and seeds agree.

    ``cohort`` names the slices, ``size_px`` the side of the network input,
    ``n_places`` the shams per slice (K) at the headline infill and dilation,
    ``n_resamples`` the bootstrap draws.
    Learning rates are the peak of a one-cycle schedule; epochs are upper limits,
    since training stops early on the validation persons.
    """

    name: str
    cohort: str  # "phantom", "calibration" (phantoms with a planted cause) or "cheng"
    purpose: str
    backbone: str = "efficientnet_lite0"
    weights: str | None = "imagenet"
    size_px: int = 224
    phantom_patients: int = 0  # per class
    phantom_slices: int = 0  # per patient
    split_seed: int = 0
    n_folds: int = 1  # 1: a hold-out split of 70 / 15 / 15 percent of the persons
    epochs: int = 10
    warmup_epochs: int = 0  # of these, the first with the backbone frozen, on stored features
    freeze_norms: bool = True  # batch norms keep their pretrained state
    frozen_blocks: int = 0  # so do the stem and so many first blocks of efficientnet_lite0
    freeze_depthwise: bool = False  # and the kernels of all depthwise convolutions
    patience: int = 4
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema_momentum: float = 0.98  # of the running mean of weights; 0 keeps the last step's
    label_smoothing: float = 0.02
    focal_gamma: float = 2.0
    weighing_alike: str = "slices"  # of a class in the loss; or "patients", or "sites"
    dropout: float = 0.2
    stochastic_depth: float = 0.0  # of efficientnet_lite0: how often its last block is skipped
    validates: bool = True  # False: all patients outside the tested part are trained on
    augmentation: float = 1.0  # strength of the random views; see recipe.build_augmenter
    mixup: float = 0.0  # alpha of the blending of slices; 0 blends none
    n_places: int = 5
    matches_energy: bool = True  # more shams at the headline, each of the removal's energy
    n_control_places: int = 2  # shams for each other infill and dilation, and other networks
    # beside Navier-Stokes
    infills: tuple[str, ...] = ("telea", "ring_mean", "gaussian_blur", "noisy_linear", "biharmonic")
    dilations_at_512: tuple[int, ...] = (-2, 2, 5, 10, 20)  # px on a slice of 512 x 512
    finetune_epochs: int = 6  # of the hardened and the looking network
    finetune_learning_rate: float = 6e-4
    probe_size_px: int = 128  # of networks retrained on what an edit leaves
    probe_epochs: int = 3  # of the whole network, after the head's on stored features
    n_resamples: int = 2000
    predict_batch_size: int = 64

    @property
    def is_phantom(self) -> bool:
        """Whether the slices are drawn, not a patient's."""
        return self.cohort in ("phantom", "calibration")

    @property
    def has_notebooks(self) -> bool:
        """Whether the numbered notebooks run it; side studies have commands of their own."""
        return self.cohort != "calibration" and self.n_folds == 1

    def as_dict(self) -> dict:
        """All settings as plain values, in the order of declaration."""
        return dataclasses.asdict(self)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            cohort="phantom",
            purpose="tests: the whole path in about a minute",
            size_px=96,
            phantom_patients=10,
            phantom_slices=2,
            epochs=20,
            warmup_epochs=20,
            batch_size=8,
            n_places=2,
            matches_energy=False,
            n_control_places=1,
            infills=("telea", "biharmonic"),
            dilations_at_512=(10,),
            finetune_epochs=1,
            probe_size_px=64,
            probe_epochs=0,
            n_resamples=200,
            predict_batch_size=16,
        ),
        Profile(
            name="smoke-cv",
            cohort="phantom",
            purpose="trying folds and seeds on one's cluster",
            size_px=64,
            phantom_patients=9,
            phantom_slices=1,
            n_folds=3,
            epochs=4,
            warmup_epochs=4,
            batch_size=8,
            validates=False,
            n_places=1,
            n_control_places=1,
            infills=("telea",),
            dilations_at_512=(10,),
            probe_size_px=64,
            probe_epochs=0,
            n_resamples=100,
            predict_batch_size=16,
        ),
        Profile(
            name="demo",
            cohort="phantom",
            purpose="a laptop or Binder, minutes, no dataset",
            size_px=128,
            phantom_patients=67,
            phantom_slices=4,
            epochs=7,
            warmup_epochs=2,
            frozen_blocks=5,
            freeze_depthwise=True,
            learning_rate=3e-4,
            batch_size=16,
            matches_energy=False,
            infills=("noisy_linear", "biharmonic"),
            dilations_at_512=(5, 20),
            finetune_epochs=1,
            probe_size_px=64,
            probe_epochs=0,
            n_resamples=1000,
            predict_batch_size=32,
        ),
        Profile(
            name="calibration",
            cohort="calibration",
            purpose="phantoms whose cause is known: python -m tumorcf_lib calibrate",
            size_px=128,
            phantom_patients=100,
            phantom_slices=3,
            epochs=12,
            warmup_epochs=2,
            patience=12,
            learning_rate=5e-4,
            batch_size=16,
            n_control_places=5,
            predict_batch_size=32,
        ),
        Profile(
            name="paper-lite",
            cohort="cheng",
            purpose="the study on a laptop, one split",
            warmup_epochs=1,
            patience=10,
            learning_rate=5e-4,
            frozen_blocks=5,
            freeze_depthwise=True,
        ),
        Profile(
            name="paper-lite-cv",
            cohort="cheng",
            purpose="every slice tested once, by networks that never saw its person",
            n_folds=5,
            freeze_norms=False,
            validates=False,
            ema_momentum=0.0,
            weight_decay=2e-2,
            label_smoothing=0.05,
            focal_gamma=1.0,
            stochastic_depth=0.2,
            n_places=10,
            infills=("ring_mean", "gaussian_blur", "noisy_linear"),
            dilations_at_512=(2, 5, 10),
            finetune_epochs=12,
        ),
        Profile(
            name="paper",
            cohort="cheng",
            purpose="the paper's own network, meant for a GPU",
            backbone="resnet50",
            epochs=30,
            patience=6,
            learning_rate=3e-4,
            warmup_epochs=2,
        ),
    )
}


def get(name: str) -> Profile:
    """The profile of that name.

    Raises
    ------
    UnknownProfileError
        With the nearest of the names that exist, and all of them.

    Examples
    --------
    >>> get("demo").is_phantom
    True
    """
    if name not in PROFILES:
        near = difflib.get_close_matches(name.lower(), PROFILES, 1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        raise UnknownProfileError(
            f"There is no profile {name!r}{meant} Choose one of: {', '.join(PROFILES)}."
        )
    return PROFILES[name]


# -- folders: the only place that names them ---------------------------------

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
DATA = ROOT / "data"


def runs() -> Path:
    """Folder of everything a run writes; ``TUMORCF_RUNS`` moves it (the tests do)."""
    return Path(os.environ.get("TUMORCF_RUNS") or ROOT / "runs").resolve()


def run(profile_name: str) -> Path:
    """Folder of one profile's run."""
    return runs() / profile_name


def cache() -> Path:
    """Folder of cohorts read once and kept as arrays, shared by all profiles."""
    return runs() / "cache"


def published(profile_name: str) -> Path:
    """Folder of one profile's committed results."""
    return FIGURES / profile_name


def shown(path: Path) -> str:
    """A path as a reader would type it: from here, from home, or in full."""
    path = Path(path)
    for start, prefix in ((Path.cwd(), ""), (ROOT, ""), (Path(os.path.expanduser("~")), "~/")):
        if path.is_relative_to(start):
            return prefix + str(path.relative_to(start))
    return str(path)


def names_data_folder() -> bool:
    """Whether the user named a folder, instead of leaving it to the default."""
    return bool(os.environ.get("TUMORCF_DATA"))


def data_folder() -> Path:
    """Where the dataset's archives are looked for: ``TUMORCF_DATA``, else ``data/``."""
    return Path(os.path.expanduser(os.environ.get("TUMORCF_DATA") or DATA)).resolve()
