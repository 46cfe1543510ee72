"""Files of a stage: tables, rows, arrays, figures and numbers, written and read in one way."""

import errno
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import stages

SECONDS = "seconds.txt"
ENDS = ("", ".csv", ".csv.gz", ".npy")  # of files, which notebooks name without

FIGURE_FORMATS = {
    ".png": {"dpi": 200, "metadata": {"Software": None}},
    ".svg": {"dpi": 200, "metadata": {"Date": None, "Creator": None}},
}


def open_stage(study, name: str) -> "Results":
    """Begin a stage: check what it needs, then forget its old record.

    Raises
    ------
    tumorcf_lib.study.stages.StageError
        If a stage it needs is missing or out of date, with the command that makes it; after 02,
        for a profile of several folds.
    tumorcf_lib.steps.InUseError
        If another process is making this one.
    """
    if study.profile.n_folds > 1 and name in stages.NAMES[2:]:
        raise stages.StageError(
            f"Expected a profile of one split in {name}, got {study.profile.name!r} of several "
            f"folds: train them by python -m tumorcf_lib train --profile {study.profile.name}."
        )
    for needed in stages.NEEDS[name]:
        stages.require(study, needed, wanted_by=name)
    folder = study.folder / name
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    # Held until it is finished, or this process ends
    steps.hold(folder / steps.LOCK, wait_s=steps.WAIT_S)
    (folder / steps.RECORD).unlink(missing_ok=True)
    steps.clear_unfinished(folder)
    return Results(study, name, folder)


class Results:
    """Reads earlier stages' files and writes its own; used as ``results`` in notebooks."""

    is_published = False  # see :mod:`study.reading`

    def __init__(self, study, name: str, folder: Path):
        self.study, self.name, self.folder = study, name, folder
        self._data: set[str] = set()
        self._figures: dict[str, dict] = {}
        self._numbers: dict[str, dict] = {}
        self._workspaces: list[Path] = []
        self._reads: dict[str, dict[str, str]] = {}
        self._begun_with = stages.fingerprint(study, name)

    # -- reading -------------------------------------------------------------

    def read(self, stage: str, name: str) -> pd.DataFrame:
        """A table or row file of an earlier stage."""
        return rowfiles.read_table(self.path_in(stage, name))

    def read_array(self, stage: str, name: str) -> np.ndarray:
        """An array of an earlier stage, memory-mapped, read-only."""
        return np.load(self.path_in(stage, name), mmap_mode="r")

    def path_in(self, stage: str, name: str) -> Path:
        """Path of an earlier stage's file, for loaders of their own format.

        Only what that stage recorded is found: a file that somebody else put there is refused.
        """
        own = stage == self.name
        if not own and stage not in stages.NEEDS[self.name]:
            raise stages.StageError(f"{self.name} does not declare that it reads {stage}.")
        folder = self.study.folder / stage
        known = self._data if own else stages.record(self.study, stage)["hashes"]
        files = [f"{name}{end}" for end in ENDS if f"{name}{end}" in known]
        if not files or not (folder / files[0]).is_file():
            raise stages.StageError(
                f"Expected {name!r} among what {stage} wrote into {config.shown(folder)}, got no "
                f"such file, or one of another run. Make {stage} again by ./run_all.sh "
                f"{stages.options(self.study)} --from {stage[:2]}"
            )
        if not own:
            self._reads.setdefault(stage, {})[files[0]] = known[files[0]]
        return folder / files[0]

    # -- writing -------------------------------------------------------------

    def save_table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a small table as CSV and return it as a reader of the file sees it."""
        return self._save_frame(table, f"{name}.csv")

    def rows(self, name: str, make) -> pd.DataFrame:
        """The long table that ``make()`` returns, written as CSV.gz and read back, so that what is
        computed from it here is what anybody computes from the published file; published rows need
        no making."""
        return self._save_frame(make(), f"{name}.csv.gz")

    def table(self, name: str, make) -> pd.DataFrame:
        """:meth:`save_table` of what ``make()`` returns; a published table needs no making."""
        return self.save_table(make(), name)

    def tables(self, make) -> dict[str, pd.DataFrame]:
        """:meth:`save_table` of each table that ``make()`` returns by its name."""
        return {name: self.save_table(table, name) for name, table in make().items()}

    def make_rows(self, name: str, make, depends_on: dict) -> pd.DataFrame:
        """Rows that take long: made once for equal ``depends_on``, then only read again.

        ``make`` gets a folder for its own intermediate files and returns the rows."""
        folder = self.workspace(name, depends_on)
        kept = folder / f"{name}.csv.gz"
        if not kept.exists():
            started = time.perf_counter()
            made = make(folder)
            note_seconds(folder, time.perf_counter() - started)
            rowfiles.write_table(made, kept)
        return rowfiles.read_table(self.keep_copy(kept, kept.name))

    def create_array(self, name: str, shape: tuple, dtype) -> np.ndarray:
        """A new memory-mapped array to be filled in place.

        OSError if the disk has no room for it: such a file is full of holes at first, and a disk
        that is full when they are filled ends the process without a word."""
        path = self.folder / f"{name}.npy"
        path.unlink(missing_ok=True)  # a notebook that is open may still read the old one
        n_bytes = np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64)
        if shutil.disk_usage(self.folder).free < n_bytes:
            words = f"{os.strerror(errno.ENOSPC)}, {n_bytes / 1e6:.0f} MB are needed"
            raise OSError(errno.ENOSPC, words, str(self.folder))
        return np.lib.format.open_memmap(self.keep(path), mode="w+", dtype=dtype, shape=shape)

    def save_figure(self, fig, name: str, *, data, shows_slices: bool):
        """Write a figure as PNG and SVG, and the plotted values as CSV.

        ``shows_slices`` says whether pixels of slices are visible: such figures of a
        patient cohort are never published.
        """
        folder = self.folder / "figures"
        for suffix, options in FIGURE_FORMATS.items():
            with steps.being_written(folder / f"{name}{suffix}") as unfinished:
                fig.savefig(unfinished, **options)
        rowfiles.write_table(pd.DataFrame(data), folder / f"{name}.csv")
        self._figures[name] = {"shows_slices": bool(shows_slices)}

    def save_number(self, name: str, value, *, low=None, high=None, n=None, unit=""):
        """Keep one number for prose, with its interval and n; returns it as words."""
        entry = {"value": value, "low": low, "high": high, "n": n, "unit": unit}
        self._numbers[name] = {k: plain(v) for k, v in entry.items()}
        return rowfiles.format_number(**self._numbers[name])

    def keep(self, path: Path) -> Path:
        """Register a file written into this stage's folder by its own writer."""
        self._data.add(path.relative_to(self.folder).as_posix())
        return path

    def keep_copy(self, source: Path, name: str) -> Path:
        """Copy a file into this stage's folder, where later stages find it."""
        with steps.being_written(self.folder / name) as unfinished:
            shutil.copyfile(source, unfinished)
        return self.keep(self.folder / name)

    def workspace(self, name: str, depends_on: dict) -> Path:
        """A folder for long work that is resumed as long as ``depends_on`` stays the same.

        When the stage is finished its content is sealed: what was changed since then is said
        and made again.
        """
        folder = steps.begin(self.folder / name, depends_on)
        self._workspaces.append(folder)
        return folder

    def input_digest(self, stage: str, file: str) -> str:
        """Hash of an earlier stage's file, for ``workspace``."""
        self.path_in(stage, file)
        return self._reads[stage][file]

    def finish(self) -> None:
        """Record the stage as finished and say what it wrote.

        The record is written last and as a whole, and holds the fingerprint that the stage
        began with: what changed while it ran makes it stale.
        """
        if self._numbers:
            steps.write_json(self.folder / "numbers.json", self._numbers, sort_keys=True)
            self.keep(self.folder / "numbers.json")
        for workspace in self._workspaces:
            steps.seal(workspace)
        drawn = [f"{name}{end}" for name in self._figures for end in (*FIGURE_FORMATS, ".csv")]
        record = {
            "depends_on": self._begun_with,
            "reads": self._reads,
            "hashes": steps.hashes_of(self.folder, sorted(self._data)),
            "figures": self._figures,
            "figure_hashes": steps.hashes_of(self.folder / "figures", drawn),
        }
        steps.write_json(self.folder / steps.RECORD, record)
        steps.release(self.folder / steps.LOCK)
        print(f"{self.name} is finished: {stages.summary(record)}.")

    def _save_frame(self, frame, file_name):
        rowfiles.write_table(frame, self.folder / file_name)
        return rowfiles.read_table(self.keep(self.folder / file_name))


def plain(value):
    """A number as JSON takes it."""
    return value.item() if isinstance(value, np.generic) else value


def note_seconds(folder: Path, seconds: float) -> None:
    """Remember how long a result took, for a run that only reads it again."""
    steps.write_whole(folder / SECONDS, f"{seconds:.1f}\n")


def kept_seconds(folder: Path) -> float:
    """Seconds that the results in a stage's folder took when they were made."""
    return sum(float(path.read_text(encoding="utf-8")) for path in folder.glob(f"*/{SECONDS}"))
