"""Notebooks opened without a run: rows, tables, weights and phantoms from what is published."""

import ast
import functools
import inspect
import textwrap

import pandas as pd
from IPython.display import Markdown, display

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import archives, preprocess
from tumorcf_lib.figures import style
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import results, runtime, side_studies, stages
from tumorcf_lib.study.side_studies import COHORT_COLUMN, MANIFEST


def open_stage(study, name: str):
    """A notebook's files: of the run where it has what is needed, else the published ones.

    Prints which. Notebooks beside the study only read.

    Raises
    ------
    tumorcf_lib.study.stages.StageError
        If neither is there, or a stage of the run is out of date.
    """
    begun = [(study.folder / n / steps.RECORD).is_file() for n in stages.NEEDS[name]]
    published = config.published(study.profile.name)
    is_published = study.profile.has_notebooks and (published / MANIFEST).is_file()
    if not all(begun) and is_published:
        print(f"results   published in {config.shown(published)}; of this profile nothing was run")
        return Published(study, name, published)
    if name in stages.GUIDES:
        for needed in stages.NEEDS[name]:
            stages.require(study, needed, wanted_by=name)
        made = Reader(study, name, study.folder)
    else:
        made = results.open_stage(study, name)
    print(f"results   your own run in {config.shown(study.folder)}")
    return made


class Reader(results.Results):
    """Reads a run and writes nothing."""

    def __init__(self, study, name, folder):
        self.study, self.name, self.folder = study, name, folder
        self._numbers = {}

    def path_in(self, stage, name):
        """Path of a file of a stage of the run."""
        return self._found(self.folder / stage, name)

    def _found(self, folder, name):
        for path in (folder / f"{name}{end}" for end in results.ENDS):
            if path.is_file():
                return path
        raise stages.StageError(
            f"Expected {name!r} in {config.shown(folder)}, which {self.name} reads, got no such "
            f"file. Make it by ./run_all.sh {stages.options(self.study)}"
        )

    def save_figure(self, fig, name, *, data, shows_slices):
        """Nothing: the figure is only shown."""

    def _save_frame(self, frame, file_name):
        return rowfiles.round_trip(frame)

    def finish(self):
        """Say that nothing was written."""
        print(f"{self.name} wrote nothing: it shows what is in {config.shown(self.folder)}.")


class Published(Reader):
    """The same of a published run, whose files lie in one folder and need no making."""

    is_published = True

    def path_in(self, stage, name):
        """Path of a published file."""
        return self._found(self.folder, name)

    def read(self, stage, name):
        """A published table, without the word that says of which cohort it is."""
        return super().read(stage, name).drop(columns=COHORT_COLUMN, errors="ignore")

    def read_array(self, stage, name):
        """Prepared slices ("inputs") or their masks, drawn or read when they are looked at."""
        return _Prepared(self.study.profile, {"inputs": "slices"}.get(name, name))

    def make_rows(self, name, make, depends_on=None):
        """The published rows or table; nothing is made."""
        return self.read(self.name, name)

    rows = table = make_rows

    def tables(self, make):
        """The published tables by name; nothing is made."""
        names = sorted(path.stem for path in self.folder.glob("table_*.csv"))
        return {name: self.read(self.name, name) for name in names}


class _Prepared:
    """One stack of a prepared cohort, which is made when the first slice is asked for."""

    def __init__(self, profile, kind):
        self.profile, self.kind = profile, kind

    def __getitem__(self, key):
        return getattr(_prepared(self.profile), self.kind)[key]

    def __len__(self):
        return len(_prepared(self.profile))


@functools.lru_cache(maxsize=1)
def _prepared(profile):
    return preprocess.prepare(runtime.load(profile), profile.size_px)


def picture(draw):
    """A figure of slices; where the patients' slices are not here, one that says so."""
    try:
        return draw()
    except archives.DatasetNotFoundError:
        return style.nothing("pictures of patients' slices are never published")


def show(fig, *sentences):
    """A figure, and below it what it says in this run."""
    display(fig)
    tell(" ".join(sentences))


def tell(*sentences):
    """Sentences as text, not in monospace; files say "persons", prose says "patients"."""
    display(Markdown(of_patients("\n\n".join(sentences))))


def source(function):
    """A function's code without its docstring."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    defined = ast.parse("\n".join(lines)).body[0]
    if ast.get_docstring(defined):
        del lines[defined.body[0].lineno - 1 : defined.body[0].end_lineno]
    display(Markdown("```python\n" + "\n".join(lines) + "\n```"))


def both(results, draw, read, *names, stage="06_metrics"):
    """The figure of the patients' published tables; below it what they say, and this run's own."""
    who, tables = patients(*names)
    told = {who.capitalize(): tables, whose(results): [results.read(stage, name) for name in names]}
    show(draw(*tables), "\n\n".join(f"**{whom}**: {read(*own)}" for whom, own in told.items()))


def patients(*names):
    """Words on the patients of whom all these tables are published, and the tables.

    All of them, each tested out of fold, or those of one split with all controls.
    """
    on_folds = all((config.published("paper-lite-cv") / f"{name}.csv").is_file() for name in names)
    profile, words = ("paper-lite-cv", "all folds") if on_folds else ("paper-lite", "one split")
    return f"real slices, {words}", [side_studies.published(profile)(name) for name in names]


def whose(results) -> str:
    """Words on the run that a notebook shows."""
    profile = results.study.profile
    told = "Published" if results.is_published else "Your run of"
    return f"{told} {profile.name}" + " (phantom)" * profile.is_phantom


def table(frame, digits=2):
    """A small table for people: rounded, a column's name in words, no column without a value.

    Raises
    ------
    ValueError
        For more than 8 rows or 7 columns: choose, and leave the rest to the CSV.
    """
    frame = frame.dropna(axis=1, how="all")
    if len(frame) > 8 or frame.shape[1] > 7:
        raise ValueError(f"Expected at most 8 rows of 7 columns to show, got {frame.shape}.")

    def cell(value):
        if pd.isna(value):
            return ""
        return f"{value:z.{digits}f}" if isinstance(value, float) else str(value)  # no -0.00

    rows = [["---"] * frame.shape[1], *(map(cell, row) for row in frame.itertuples(index=False))]
    lines = [" | ".join(line) for line in (frame.columns, *rows)]
    display(Markdown(of_patients("\n".join(f"| {line} |" for line in lines))))
