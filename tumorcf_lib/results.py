"""Files of a stage: tables, rows, arrays, figures and numbers, written and read in one way."""

import gzip
import io
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import stages

SIGNIFICANT_DIGITS = 5
SECONDS = "seconds.txt"
TEXT_COLUMNS = ("patient_id", "person_id")
WORD_COLUMNS = (  # empty text is a value
    "reason", "note", "infill", "relevance", "flag", "why_not", "breaks", "not_counted",
)  # fmt: skip


def open_stage(study, name: str) -> "Results":
    """Begin a stage: check what it needs, then forget its old record.

    Raises
    ------
    tumorcf_lib.stages.StageError
        If a stage it needs is missing or out of date, with the command that makes it.
    """
    for needed in stages.NEEDS[name]:
        stages.require(study, needed, wanted_by=name)
    folder = study.folder / name
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / stages.RECORD).unlink(missing_ok=True)
    return Results(study, name, folder)


class Results:
    """Reads earlier stages' files and writes its own; used as ``results`` in notebooks."""

    def __init__(self, study, name: str, folder: Path):
        self.study, self.name, self.folder = study, name, folder
        self._data: dict[str, Path] = {}
        self._figures: dict[str, dict] = {}
        self._numbers: dict[str, dict] = {}

    # -- reading -------------------------------------------------------------

    def read(self, stage: str, name: str) -> pd.DataFrame:
        """A table or row file of an earlier stage."""
        return read_table(self.path_in(stage, name))

    def read_array(self, stage: str, name: str) -> np.ndarray:
        """An array of an earlier stage, memory-mapped, read-only."""
        return np.load(self.path_in(stage, name), mmap_mode="r")

    def path_in(self, stage: str, name: str) -> Path:
        """Path of an earlier stage's file, for loaders of their own format."""
        if stage != self.name and stage not in stages.NEEDS[self.name]:
            raise stages.StageError(f"{self.name} does not declare that it reads {stage}.")
        folder = self.study.folder / stage
        for path in (
            folder / name,
            *(folder / f"{name}{end}" for end in (".csv", ".csv.gz", ".npy")),
        ):
            if path.is_file():
                return path
        raise stages.StageError(f"{stage} has no file {name!r} in {folder}.")

    # -- writing -------------------------------------------------------------

    def save_table(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a small table as CSV and return it as a reader of the file sees it."""
        return self._save_frame(table, f"{name}.csv")

    def save_rows(self, rows: pd.DataFrame, name: str) -> pd.DataFrame:
        """Write a long table as CSV.gz; returned as read back, so that what is computed
        from it here is what anybody computes from the published file."""
        return self._save_frame(rows, f"{name}.csv.gz")

    def make_rows(self, name: str, make, depends_on: dict) -> pd.DataFrame:
        """Rows that take long: made once for equal ``depends_on``, then only read again.

        Parameters
        ----------
        make : callable
            Gets a folder for its own intermediate files, returns the rows.
        depends_on : dict
            All that the rows depend on; see :meth:`workspace`.
        """
        folder = self.workspace(name, depends_on)
        kept = folder / f"{name}.csv.gz"
        if not kept.exists():
            started = time.perf_counter()
            made = make(folder)
            note_seconds(folder, time.perf_counter() - started)
            write_table(made, kept)
        path = self.folder / kept.name
        shutil.copyfile(kept, path)
        return read_table(self.keep(path))

    def create_array(self, name: str, shape: tuple, dtype) -> np.ndarray:
        """A new memory-mapped array to be filled in place."""
        path = self.folder / f"{name}.npy"
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=tuple(shape))
        self._data[path.name] = path
        return array

    def save_figure(self, fig, name: str, *, data, shows_slices: bool):
        """Write a figure as PNG and PDF, and the plotted values as CSV.

        ``shows_slices`` says whether pixels of slices are visible: such figures of a
        patient cohort are never published.
        """
        stem = self.folder / "figures" / name
        stem.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(stem.with_suffix(".png"), dpi=150, metadata={"Software": None})
        fig.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None})
        write_table(pd.DataFrame(data), stem.with_suffix(".csv"))
        self._figures[name] = {"shows_slices": bool(shows_slices)}

    def save_number(self, name: str, value, *, low=None, high=None, n=None, unit=""):
        """Keep one number for prose, with its interval and n; returns it as words."""
        entry = {"value": value, "low": low, "high": high, "n": n, "unit": unit}
        self._numbers[name] = {k: _plain(v) for k, v in entry.items()}
        return format_number(**self._numbers[name])

    def keep(self, path: Path) -> Path:
        """Register a file written into this stage's folder by its own writer."""
        path = Path(path)
        self._data[path.relative_to(self.folder).as_posix()] = path
        return path

    def workspace(self, name: str, depends_on: dict) -> Path:
        """A folder for long work that is resumed as long as ``depends_on`` stays the same."""
        mark = stages.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode())[:10]
        folder = self.folder / f"{name}-{mark}"
        for old in self.folder.glob(f"{name}-??????????"):
            if old != folder:
                shutil.rmtree(old)
        if os.environ.get("TUMORCF_FRESH"):
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def input_digest(self, stage: str, file: str) -> str:
        """Hash of an earlier stage's file, for ``workspace``."""
        return stages.record(self.study, stage)["hashes"][file]

    def finish(self) -> None:
        """Record the stage as finished and say what it wrote."""
        if self._numbers:
            path = self.folder / "numbers.json"
            path.write_text(json.dumps(self._numbers, indent=1, sort_keys=True) + "\n")
            self._data[path.name] = path
        hashes = {name: stages.file_sha256(path) for name, path in sorted(self._data.items())}
        record = {
            "fingerprint": stages.fingerprint(self.study, self.name),
            "data": stages.sha256(json.dumps(hashes).encode()),
            "hashes": hashes,
            "sizes": {name: path.stat().st_size for name, path in sorted(self._data.items())},
            "figures": self._figures,
        }
        partial = self.folder / (stages.RECORD + ".part")
        partial.write_text(json.dumps(record, indent=1) + "\n")
        partial.replace(self.folder / stages.RECORD)
        print(f"{self.name} is finished: {stages.summary(record)}.")

    def _save_frame(self, frame, file_name):
        path = self.folder / file_name
        write_table(frame, path)
        self._data[path.name] = path
        return read_table(path)


def note_seconds(folder: Path, seconds: float) -> None:
    """Remember how long a workspace's content took, for a run that only reads it again."""
    (folder / SECONDS).write_text(f"{seconds:.1f}\n")


def kept_seconds(folder: Path) -> float:
    """Seconds that the workspaces of a stage's folder took when they were made."""
    return sum(float(path.read_text()) for path in folder.glob(f"*/{SECONDS}"))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """CSV with 5 significant digits; compressed files carry no time: equal rows, equal bytes.

    A file is there as a whole or not at all: it gets its name when it is complete.
    """
    data = _as_csv(table).encode()
    unfinished = path.with_name(f"unfinished-{path.name}")
    unfinished.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    unfinished.replace(path)


def round_trip(table: pd.DataFrame) -> pd.DataFrame:
    """A table as a reader of its file sees it, without the file."""
    return read_table(io.StringIO(_as_csv(table)))


def read_table(path: Path) -> pd.DataFrame:
    """A table as :func:`write_table` wrote it; empty text stays empty text."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS + WORD_COLUMNS, str))
    return table.fillna(dict.fromkeys(table.columns.intersection(WORD_COLUMNS), ""))


def format_number(value, low=None, high=None, n=None, unit="") -> str:
    """A number with its interval and n, as prose shows it.

    >>> format_number(0.1234, 0.1, 0.15, 31, " persons")
    '0.123 [0.100, 0.150], n = 31 persons'
    >>> format_number(233)
    '233'
    """

    def show(x):
        return f"{x:d}" if isinstance(x, int) else f"{x:.3f}"

    text = show(value)
    if low is not None:
        text += f" [{show(low)}, {show(high)}]"
    return text + (f", n = {n}{unit}" if n is not None else unit)


def _as_csv(table):
    return table.to_csv(index=False, lineterminator="\n", float_format=f"%.{SIGNIFICANT_DIGITS}g")


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
