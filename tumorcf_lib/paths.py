"""The only place that names folders."""

import os
from pathlib import Path

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
    for start, prefix in ((Path.cwd(), ""), (ROOT, ""), (Path.home(), "~/")):
        if path.is_relative_to(start):
            return prefix + str(path.relative_to(start))
    return str(path)


def names_data_folder() -> bool:
    """Whether the user named a folder, instead of leaving it to the default."""
    return bool(os.environ.get("TUMORCF_DATA"))


def data_folder() -> Path:
    """Where the dataset's archives are looked for: ``TUMORCF_DATA``, else ``data/``."""
    return Path(os.environ.get("TUMORCF_DATA") or DATA).expanduser().resolve()
