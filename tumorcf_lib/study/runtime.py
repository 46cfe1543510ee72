"""What surrounds a run: profile, seed, device, memory, versions, and the header that names them."""

import contextlib
import ctypes
import os
import platform
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, config, pins, rowfiles, steps
from tumorcf_lib.data import cohort, finding
from tumorcf_lib.study import made_by

HEADER_PACKAGES = ("keras", "tensorflow", "numpy", "opencv-python-headless", "scikit-learn")

PHANTOM = "phantom slices, not patients"

DRAWING_S = 600.0  # for another process that draws the same phantom

PROCESSES = Path("/proc")
SHORT_BYTES = 3_000_000_000
HELD_BYTES = 300_000_000
ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
CGROUP_LIMITS = [Path("/sys/fs/cgroup", n) for n in ("memory.max", "memory/memory.limit_in_bytes")]


@dataclass(frozen=True)
class Study:
    """One run of the study: its profile, its seed, and the folder it writes to."""

    profile: config.Profile
    seed: int
    folder: Path

    @property
    def tag(self) -> str:
        """Words that every table and figure of this run carries ("" on all real slices)."""
        if self.profile.is_phantom:
            return PHANTOM
        n_missing = len(finding.find(config.data_folder()).missing) if finding.is_partial() else 0
        return f"a part of the dataset: {n_missing} slices missing" if n_missing else ""


class ParameterError(ValueError):
    """A parameter of a notebook that is misspelled, or no value that it can have."""


def has_gpu() -> bool:
    """Whether Keras can use a GPU here.

    The driver is asked first, and Keras (in a process of its own, so that it is not loaded
    here) only if there is one: a GPU that the installed TensorFlow lacks libraries for does
    not count.
    """
    if shutil.which("nvidia-smi") is None:
        return False
    asks = "import keras; raise SystemExit(not keras.distribution.list_devices('gpu'))"
    answer = subprocess.run([sys.executable, "-c", asks], capture_output=True, check=False)
    return answer.returncode == 0


def processor() -> str:
    """The processor's name, as the system tells it: minutes mean little without it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="ignore") if info.is_file() else ""
    named = re.search(r"^model name[^:]*:(.*)", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def choose_profile() -> tuple[str, str]:
    """Profile that fits this machine, and one sentence on why and how to get the other."""
    if not finding.find(config.data_folder()).is_enough:
        return "demo", (
            f"no dataset in {config.shown(config.data_folder())}, so the phantom is used; for the "
            "real slices put the four archives there, name their folder by --data, or run "
            "./run_all.sh --profile paper-lite, which fetches them (880 MB)"
        )
    if has_gpu():
        return "paper", "the dataset and a GPU were found; --profile demo runs the phantom"
    return "paper-lite", (
        "the dataset was found and no GPU; --profile paper runs the paper's own network, "
        "--profile demo the phantom"
    )


def find_dataset(study, is_auto) -> None:
    """Say which profile is run and why; fetch the dataset if that is what was asked for."""
    from tumorcf_lib.data import archives, download

    place, needs = config.data_folder(), not study.profile.is_phantom
    found, is_named = finding.find(place), config.names_data_folder()
    is_begun = is_auto and (found.entries or found.notes)  # a part is not "no dataset"
    if not found.is_enough and (is_begun or is_named and (is_auto or needs)):
        finding.require(place)
    print(f"Profile {study.profile.name}: {choose_profile()[1] if is_auto else 'as asked'}.")
    if needs and not found.is_enough:
        download.download(place)
    elif needs and (n_missing := len(found.missing)):  # --partial allowed it
        n = archives.N_PUBLISHED - n_missing
        print(f"A part of the dataset: {n} of {archives.N_PUBLISHED} slices.")


def resolve(profile_name: str) -> config.Profile:
    """The profile of that name; ``"auto"`` (or "") picks the one that fits this machine."""
    return config.get(choose_profile()[0] if profile_name in ("auto", "") else profile_name)


def start(profile_name: str, seed: int, *, network: bool = False) -> Study:
    """Set the global seeds and print the run header.

    Parameters
    ----------
    profile_name : str
        A name from :mod:`tumorcf_lib.config`, or ``"auto"``.
    seed : int
        Drives training and the places of shams. The cohort and its split belong to
        the profile, so that runs of several seeds are tested on the same persons.
    network : bool
        Whether a network is used: loads Keras (seconds) and seeds it too.
    """
    _check_parameters(profile_name, seed)
    profile = resolve(profile_name)
    pd.set_option("display.width", 1000, "display.max_columns", 30)  # one line a row
    random.seed(seed)
    np.random.seed(seed)
    device = f"CPU, {n_cores()} cores"
    if network:
        share_one_heap()  # before TensorFlow has threads
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its remarks are no reader's concern
        from tumorcf_lib.networks import classifier

        device = classifier.set_up(seed)
    study = Study(profile, seed, config.run(profile.name))
    print(header(study, device))
    warn_if_tight()
    return study


def _check_parameters(profile_name, seed):
    """Papermill passes on whatever it is told, with no more than a remark."""
    if wrong := {"profile", "seed"} & set(vars(sys.modules["__main__"])):
        name = min(wrong)
        raise ParameterError(
            f"Expected a parameter in capitals, got {name!r}: papermill -p {name.upper()} ..."
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ParameterError(
            f"Expected SEED to be a whole number from 0 to 2**32 - 1, got {seed!r} "
            f"({type(seed).__name__}). By papermill: -p SEED 3, not -r (a text)."
        )


def load(profile):
    """The cohort of a profile: drawn if it is a phantom, else read from the archives in
    ``config.data_folder()``; slices once drawn or read are kept as arrays."""
    from tumorcf_lib.data import archives, published  # heavy, and runners need none of it

    if profile.cohort == "phantom":
        return _phantom(profile)
    if profile.cohort != "cheng":
        raise config.UnknownProfileError(
            f"Profile {profile.name!r} names the cohort {profile.cohort!r}; known are 'phantom' "
            "and 'cheng'."
        )
    found = published.read(config.data_folder(), cache_dir=config.cache())
    absent = [name for k, name in enumerate(config.CLASSES) if k not in set(found.labels)]
    if absent:
        raise archives.DatasetNotFoundError(
            f"Expected slices of every class, got none of {', '.join(absent)} ({found.source}). "
            "This part of the dataset cannot be split: put all four archives there."
        )
    return found


def _phantom(profile):
    from tumorcf_lib.phantoms import cohort as phantoms

    # A small network input needs no 256 px slice; drawing time grows with the area
    how = profile.phantom_patients, profile.phantom_slices, 192 if profile.size_px <= 128 else 256
    depends_on = {"how": how, "code": made_by.code("slices"), "packages": made_by.packages()}
    folder = config.cache() / "phantom-{}x{}-{}".format(*how)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with steps.held(folder.with_name(f"phantom.{steps.LOCK}"), wait_s=DRAWING_S):
        if steps.why_stale(folder, depends_on):
            drawn = phantoms.make_cohort(*how[:2], size_px=how[2], seed=0)
            steps.begin(folder, depends_on)
            np.save(folder / "slices.npy", drawn.slices)
            np.save(folder / "masks.npy", drawn.masks)
            rowfiles.write_table(drawn.table, folder / "table.csv")
            steps.seal(folder)
    slices, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("slices", "masks"))
    table = rowfiles.read_table(folder / "table.csv")
    return cohort.Cohort("phantom", slices, masks, table, config.CLASSES, phantoms.SOURCE)


def describe(profile) -> str:
    """One sentence on where the profile's slices come from; reads the dataset if need be."""
    from tumorcf_lib.data import published
    from tumorcf_lib.phantoms import cohort

    if profile.is_phantom:
        return cohort.SOURCE
    return published.describe(config.data_folder(), cache_dir=config.cache())


def header(study: Study, device: str) -> str:
    """The block that opens every notebook."""
    profile = study.profile
    versions = [f"{name} {pins.version_of(name)}" for name in HEADER_PACKAGES]
    return (
        f"tumorcf {__version__}\n"
        f"cohort    {describe(profile)}\n"
        f"profile   {profile.name} ({profile.backbone}, {profile.weights} weights, "
        f"{profile.size_px} px)\n"
        f"seed      {study.seed}\n"
        f"device    {device}\n"
        f"versions  {', '.join([f'Python {platform.python_version()}', *versions])}"
    )


# -- memory, where it is short (Binder gives 2 GB) ----------------------------


def share_one_heap() -> None:
    """Let all threads of this process take memory from one heap, as MALLOC_ARENA_MAX=1 does.

    TensorFlow's threads keep freed memory in heaps of their own: 0.13 GB on two cores. Nothing
    changes where the system's library knows no such setting (not glibc)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, 1)


def memory_limit() -> float:
    """Bytes that all programs here may use together, infinity where nobody limits them.

    JupyterHub (Binder) says it in ``MEM_LIMIT``, containers by their control group."""
    words = [os.environ.get("MEM_LIMIT", "")]
    words += [path.read_text(encoding="utf-8").strip() for path in CGROUP_LIMITS if path.is_file()]
    limits = [float(word) for word in words if word.replace(".", "", 1).isdigit()]
    return min(limits, default=float("inf"))


def held_by_others() -> int:
    """Bytes held by other Jupyter kernels; 0 where the system (not Linux) does not list them."""
    held = 0
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            is_kernel = b"ipykernel" in (folder / "cmdline").read_bytes()
            if is_kernel and int(folder.name) != os.getpid():
                pages = int((folder / "statm").read_text(encoding="utf-8").split()[1])  # resident
                held += pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return held


def warn_if_tight(this="this notebook", again="run this notebook again") -> None:
    """Ask a reader to shut other notebooks' kernels down, if memory is short and they hold much.

    Where memory runs out, the kernel that asks last dies without a word. The message goes to the
    error channel, which published notebooks leave out."""
    held, limit = held_by_others(), memory_limit()
    if limit <= SHORT_BYTES and held > HELD_BYTES:
        print(
            f"Kernels of open notebooks hold {held / 1e9:.1f} GB of the {limit / 1e9:.1f} GB of "
            f"memory here, and {this} needs most of it. Shut them down first (menu Kernel > Shut "
            f"Down All Kernels, then {again}): what they saved is kept.",
            file=sys.stderr,
            flush=True,
        )
