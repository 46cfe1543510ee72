"""Studies without notebooks: rows of their own, and tables and figures made of these alone.

The calibration, the cross-validation and the price of a leak run for longer than a reader
waits in front of a notebook. Each leaves row files in ``runs/<name>``; published are the
rows and what follows from them, so that anybody can check it in seconds.
"""

import functools
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.study import progress, runtime
from tumorcf_lib.study.results import FIGURE_FORMATS

MANIFEST = "manifest.json"
COHORT_COLUMN = "cohort"
TOLERANCE = 1.5 * 10 ** -(rowfiles.SIGNIFICANT_DIGITS - 1)  # relative; covers the last digit


class UnfinishedStudyError(RuntimeError):
    """A study whose rows are not all there; the message names the command that makes them."""


@dataclass(frozen=True)
class Drawn:
    """A published figure: ``draw`` names its function ("scores.answer") and its sentence's.

    ``shown`` makes what is drawn of the ``tables``, ``read_out`` what is said of them; a figure
    that does not follow from published tables is not drawn ``again``. Figures are imported only
    when they are drawn: ``verify`` need not wait for Matplotlib.
    """

    draw: str
    tables: tuple[str, ...]
    shown: Callable = lambda *tables: tables
    read_out: Callable | None = None
    again: bool = True
    caption: str = ""  # where it is not the first line of what draws

    @property
    def function(self):
        module, name = self.draw.split(".")
        return getattr(importlib.import_module(f"tumorcf_lib.figures.{module}"), name)

    def figure(self, read, tag=""):
        """The figure of the tables that ``read`` gives by their names."""
        return self.function(*self.shown(*map(read, self.tables)), tag=tag)

    def sentence(self, read):
        """What the figure shows, read from the same tables."""
        readings = importlib.import_module("tumorcf_lib.figures.readings")
        told = getattr(readings, self.draw.split(".")[1])
        return told(*(self.read_out or self.shown)(*map(read, self.tables)))


@dataclass(frozen=True)
class SideStudy:
    """What a study publishes: ``derive(read, n_resamples)`` makes every table of its ``files``."""

    name: str  # of its folders under ``runs/`` and ``figures/``
    files: tuple[str, ...]  # of the run, or patterns of them, which are copied as they are
    derive: Callable
    command: str  # makes the rows
    about: Callable = lambda folder: {}  # profile, source, perhaps seed of a run in a folder
    optional: tuple[str, ...] = ()  # copied if they are there
    figures: dict[str, Drawn] = field(default_factory=dict)
    tag: Callable = lambda read: ""  # written into the figures
    shows_slices: tuple[str, ...] = ()  # figures with slices; only a phantom's may be published
    cohort: str = ""  # written into every table of phantoms, if not "phantom"

    def publish(self, folder, target=None, *, seed=0, **told) -> Path:
        """Replace ``figures/<name>`` by rows, tables, figures and manifest of a finished run.

        ``told``: profile and source where they are not those that :attr:`about` says."""
        self._require(folder)
        target = target or config.published(self.name)
        return self._replace(folder, target, **{"seed": seed} | self.about(folder) | told)

    def derive_again(self, target=None) -> Path:
        """Tables and figures anew from the rows that are published.

        Raises
        ------
        UnfinishedStudyError
            If the study is not published, or a row file is missing.
        """
        target = target or config.published(self.name)
        self._require(target, MANIFEST, *self.files)
        made = steps.read_json(target / MANIFEST)
        told = {"seed": made["seed"], "source": made["source"]}
        return self._replace(target, target, profile=config.Profile(**made["profile"]), **told)

    def _require(self, folder, *names):
        missing = [name for name in names or self.files if not any(folder.glob(name))]
        if missing:
            raise UnfinishedStudyError(
                f"{config.shown(folder)} lacks {', '.join(missing)}; make them by\n"
                f"    {self.command}"
            )

    def _replace(self, folder, target, *, profile, seed, source):
        words = f"tables and figures of {self.name}"
        with progress.clock(words), steps.being_filled(target) as new:
            for pattern in (*self.files, *self.optional):
                for path in sorted(folder.glob(pattern)):
                    shutil.copyfile(path, new / path.name)
            read = reader(new)
            cohort = self.cohort or "phantom" * profile.is_phantom
            write_tables(new, self.derive(read, profile.n_resamples), cohort)
            drawn = draw(new, self.figures, self.tag(read) or runtime.PHANTOM * profile.is_phantom)
            figures = {name: {"shows_slices": name in self.shows_slices} for name in drawn}
            told = {"study": self.name, "profile": profile.as_dict(), "seed": seed}
            write_manifest(new, told | {"source": source, "figures": figures})
        return target


def write_tables(folder, tables, cohort="") -> None:
    """Write tables by their names; a word on a cohort that is not of patients goes into each."""
    for name, table in tables.items():
        table = table.assign(**{COHORT_COLUMN: cohort}) if cohort else table
        rowfiles.write_table(table, folder / f"{name}.csv")


def draw(folder, figures, tag=""):
    """Draw the figures that follow from a folder's tables, and name them."""
    read, drawn = functools.cache(reader(folder)), []
    for name, how in figures.items():
        if how.again and all(any(folder.glob(f"{table}.csv*")) for table in how.tables):
            fig = how.figure(read, tag)
            for end, options in FIGURE_FORMATS.items():
                fig.savefig(folder / f"{name}{end}", **options)
            drawn.append(name)
    return drawn


def write_manifest(folder, told) -> None:
    """Write what a published folder says of itself, with the hash of each of its files."""
    (folder / MANIFEST).unlink(missing_ok=True)
    hashes = {path.name: steps.file_sha256(path) for path in sorted(folder.iterdir())}
    steps.write_json(folder / MANIFEST, told | {"sha256": hashes})


# -- recomputing -------------------------------------------------------------


def wrong_tables(folder, derive):
    """Recompute every published table from its rows: problems, and the tables by name."""
    read = reader(folder)
    made = derive(read, steps.read_json(folder / MANIFEST)["profile"]["n_resamples"])
    problems = []
    for name, table in made.items():
        problems += _wrong_cells(name, read(name), rowfiles.round_trip(table))
    return problems, made


def _wrong_cells(name, published, recomputed):
    if list(published.columns) != list(recomputed.columns) or len(published) != len(recomputed):
        return [
            f"{name}.csv has {len(published)} rows and columns {list(published.columns)}; "
            f"recomputed: {len(recomputed)} and {list(recomputed.columns)}"
        ]
    problems = []
    for column in published:
        for row, (was, now) in enumerate(zip(published[column], recomputed[column], strict=True)):
            if not same(was, now):
                problems.append(f"{name}.csv, row {row + 1}, {column}: {was}, recomputed {now}")
    return problems


def same(was, now) -> bool:
    """Whether a published value is the recomputed one, but for its last digit."""
    if pd.isna(was) or pd.isna(now):
        return pd.isna(was) and pd.isna(now)
    if isinstance(was, str) or isinstance(now, str):
        return str(was) == str(now)
    return abs(float(was) - float(now)) <= TOLERANCE * max(abs(float(now)), 1e-4)


# -- reading -----------------------------------------------------------------


def reader(folder):
    """A function from a table's name to the published table, without its cohort column.

    Rows that are published in parts, as ``rows_edits_plain_seed0`` and its like, are put together
    under the name that they share.
    """

    def read(name):
        for end in (".csv", ".csv.gz"):
            path = Path(folder) / f"{name}{end}"
            if path.is_file():
                return rowfiles.read_table(path).drop(columns=COHORT_COLUMN, errors="ignore")
        parts = sorted(Path(folder).glob(f"{name}_*.csv.gz"))
        if parts:
            return pd.concat([rowfiles.read_table(path) for path in parts], ignore_index=True)
        raise FileNotFoundError(
            f"{config.shown(folder)} holds no {name}.csv or {name}.csv.gz. A new table comes there "
            f"by: python -m tumorcf_lib publish {Path(folder).name} --from-rows"
        )

    return read


def published_folders():
    """Folders under ``figures/`` that hold something published."""
    found = sorted(path.parent for path in config.FIGURES.glob(f"*/{MANIFEST}"))
    return [folder for folder in found if not folder.name.startswith(steps.UNFINISHED)]


def published(name):
    """A reader of ``figures/<name>``; None while that study is not published."""
    folder = config.published(name)
    return reader(folder) if (folder / MANIFEST).is_file() else None


def interval(row, value="", form=".3f"):
    """A number with the ends of its interval; an empty text where nothing was measured.

    ``value`` is its column, by default "effect" or "value", whichever there is.

    >>> interval({"effect": 0.3791, "low": -0.0001, "high": 0.42})
    '0.379 [0.000, 0.420]'
    >>> interval({"head": 0.6, "head_low": 0.5, "head_high": 0.7}, "head", ".0%")
    '60% [50%, 70%]'
    """
    value = value or ("effect" if "effect" in row else "value")
    own = f"{value}_low" in row
    low, high = (row[f"{value}_{end}" if own else end] for end in ("low", "high"))
    if pd.isna(row[value]):
        return ""
    form = form.replace(".", "z.")  # no -0.000
    return f"{row[value]:{form}}" + ("" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]")


def band(row):
    """Where networks that know nothing fall, in words; an empty text without such networks."""
    return "" if pd.isna(row["null_low"]) else f"{row['null_low']:.3f} to {row['null_high']:.3f}"


def p_value(p, equals=""):
    """A p as it is printed.

    >>> p_value(0.184), p_value(0.0083, "= "), p_value(3e-9, "= ")
    ('0.18', '= 0.008', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{equals}{round(p, 3):.2g}"
