"""A published run's tables, numbers, figures and card, rebuilt from its published rows.

After a change of the code that derives them the rows are what they were: nobody has to train and
audit for an hour to publish another interval. Figures of slices and of their intensities
do not follow from rows, and stay.
"""

import json
import shutil
from functools import partial
from pathlib import Path

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.figures import controls, forests, studies, training
from tumorcf_lib.figures import scores as score_figures
from tumorcf_lib.publish import card
from tumorcf_lib.study import progress, results
from tumorcf_lib.study.side_studies import COHORT_COLUMN, MANIFEST
from tumorcf_lib.tables import derived

NUMBERS = "numbers.json"
SCORES = "scores of every slice"


class FromRowsError(FileNotFoundError):
    """A folder that holds no published run with notebooks."""


class Made:
    """Published rows, and the tables that follow from them, by name."""

    def __init__(self, folder, n_resamples):
        self.folder = folder
        self.tables = derived.derive(self.rows, n_resamples)
        self.scores = slice_scores(self.rows("rows_edits"))

    def rows(self, name):
        """A published file's table, without the word that says of which cohort it is."""
        ends = (".csv.gz", ".csv")
        path = next(p for end in ends if (p := self.folder / f"{name}{end}").is_file())
        return rowfiles.read_table(path).drop(columns=COHORT_COLUMN, errors="ignore")

    def __getitem__(self, name):
        if name == SCORES:
            return self.scores
        return rowfiles.round_trip(self.tables[name]) if name in self.tables else self.rows(name)


FIGURES = {
    "fig02_cohort": (studies.cohort, "slices", "split"),
    "fig05_learning_curves": (training.learning_curves, "history"),
    "fig06_confusion": (training.confusion, "table_confusion"),
    "fig07_reliability": (training.reliability, "table_reliability"),
    "fig10_infills": (controls.infills, "table_infills", "table_quality", "table_detector"),
    "fig11_dilations": (score_figures.dilations, "table_dilations"),
    "fig12_delta_by_class": (score_figures.by_class, SCORES, "table_scores"),
    "fig13_fall_to": (score_figures.fall_to, "table_fall_to"),
    "fig14_correct_vs_wrong": (score_figures.correct_vs_wrong, SCORES),
    "fig15_drop_vs_focus": (score_figures.drop_vs_focus, SCORES),
    "fig16_findings_paper": (partial(forests.findings, form="paper"), "table_findings"),
    "fig17_findings_net": (forests.findings, "table_findings"),
    "fig18_headline": (forests.headline, "table_scores"),
    "fig20_energy": (controls.energy, "table_energy"),
    "fig21_probes": (controls.probes, "table_probes"),
    "fig22_networks": (controls.networks, "table_networks"),
    "fig23_covariates": (controls.covariates, "table_covariates"),
    "fig24_robustness": (controls.robustness, "table_robustness"),
}
"""Figures of the notebooks that follow from rows, drawn as there; a test holds them together."""


def renew(folder) -> Path:
    """Replace what follows from the rows of a published run, and its hashes in the manifest."""
    folder = Path(folder)
    if not all((folder / name).is_file() for name in (MANIFEST, NUMBERS)):
        raise FromRowsError(
            f"Expected a published run with notebooks in {config.shown(folder)}, found none of its "
            f"{MANIFEST} and {NUMBERS}."
        )
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    profile = config.Profile(**manifest["profile"])
    with progress.clock(f"tables and figures of {profile.name}"), steps.being_filled(folder) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        made = Made(new, profile.n_resamples)
        _write_tables(made, new, "phantom" if profile.is_phantom else "")
        _write_numbers(made, new)
        _draw(made, new, "phantom slices, not patients" if profile.is_phantom else "")
        card.write(new, manifest["profile"], manifest["seed"], manifest["source"])
        (new / MANIFEST).unlink()
        manifest["sha256"] = {p.name: steps.file_sha256(p) for p in sorted(new.iterdir())}
        (new / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return folder


def _write_tables(made, folder, cohort):
    for name, table in made.tables.items():
        table = table.assign(**{COHORT_COLUMN: cohort}) if cohort else table
        rowfiles.write_table(table, folder / f"{name}.csv")


def _write_numbers(made, folder):
    numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    published = {name: rowfiles.round_trip(table) for name, table in made.tables.items()}
    for stage, name, entry in derived.numbers(published):
        numbers[stage][name] |= {key: _plain(value) for key, value in entry.items()}
    text = json.dumps(numbers, indent=1, sort_keys=True) + "\n"
    (folder / NUMBERS).write_text(text, encoding="utf-8")


def _plain(value):
    return value.item() if hasattr(value, "item") else value


def _draw(made, folder, tag):
    for name, (draw, *tables) in FIGURES.items():
        if (folder / f"{name}.png").is_file():
            fig = draw(*(made[table] for table in tables), tag=tag)
            for end, options in results.FIGURE_FORMATS.items():
                fig.savefig(folder / f"{name}{end}", **options)
