"""A published run's tables, numbers, figures and card made anew from its published rows.

After a change of the code that derives them, the rows are what they were: nobody need train and
audit for an hour to publish another interval. Figures of slices, histograms and learning curves do
not follow from rows, and stay.
"""

import json
import shutil
from pathlib import Path

from tumorcf_lib import config, figures, rowfiles, steps
from tumorcf_lib.publish import model_card
from tumorcf_lib.stats import metrics
from tumorcf_lib.study import progress, results
from tumorcf_lib.study.side_studies import COHORT_COLUMN, MANIFEST
from tumorcf_lib.tables import derived, study

NUMBERS = "numbers.json"


class FromRowsError(FileNotFoundError):
    """A folder that holds no published run with notebooks."""


class Made:
    """Published rows, and the tables that follow from them, by name."""

    def __init__(self, folder, n_resamples):
        self.folder = folder
        self.tables = derived.derive(self.rows, n_resamples)
        self.scores = metrics.slice_scores(self.rows("rows_edits"))

    def rows(self, name):
        """A published file's table, without the word that says of which cohort it is."""
        ends = (".csv.gz", ".csv")
        path = next(p for end in ends if (p := self.folder / f"{name}{end}").is_file())
        return rowfiles.read_table(path).drop(columns=COHORT_COLUMN, errors="ignore")

    def __getitem__(self, name):
        return rowfiles.round_trip(self.tables[f"table_{name}"])


FIGURES = {
    "fig06_confusion": lambda made, **k: figures.confusion(
        study.confusion_matrix(made.rows("rows_predictions")),
        study.classes(made.rows("rows_predictions")), **k),
    "fig07_reliability": lambda made, **k: figures.reliability(made["reliability"], **k),
    "fig10_infills": lambda made, **k: figures.infill_comparison(
        made["infills"], made["quality"], made["detector"], **k),
    "fig11_dilations": lambda made, **k: figures.dilation_curves(made["dilations"], **k),
    "fig12_delta_by_class": lambda made, **k: figures.delta_by_class(
        made.scores, made["scores"], **k),
    "fig13_fall_to": lambda made, **k: figures.fall_to(made["fall_to"], **k),
    "fig14_correct_vs_wrong": lambda made, **k: figures.correct_vs_wrong(made.scores, **k),
    "fig15_drop_vs_focus": lambda made, **k: figures.drop_vs_focus(made.scores, **k),
    "fig16_findings_paper": lambda made, **k: figures.findings_forest(
        made["findings"], form="paper", **k),
    "fig17_findings_net": lambda made, **k: figures.findings_forest(
        made["findings"], form="net", **k),
    "fig18_headline": lambda made, **k: figures.headline(made["scores"], **k),
    "fig20_energy": lambda made, **k: figures.energy(made["energy"], **k),
    "fig21_probes": lambda made, **k: figures.probe_bars(made["probes"], **k),
    "fig22_networks": lambda made, **k: figures.three_networks(made["networks"], **k),
    "fig23_covariates": lambda made, **k: figures.covariates(made["covariates"], **k),
    "fig24_robustness": lambda made, **k: figures.robustness_forest(made["robustness"], **k),
}  # fmt: skip
"""Figures of the notebooks that follow from rows, drawn as there; a test holds them together."""


def renew(folder) -> Path:
    """Replace what follows from the rows of a published run, and the hashes in its manifest.

    Parameters
    ----------
    folder : path
        Such as ``figures/paper-lite``.

    Raises
    ------
    FromRowsError
        If there is no published run with notebooks.
    """
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
        model_card.write(new, manifest["profile"], manifest["seed"], manifest["source"])
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
    for name, draw in FIGURES.items():
        path = folder / f"{name}.png"
        if path.is_file():
            draw(made, tag=tag).savefig(path, **results.FIGURE_FORMATS[".png"])
