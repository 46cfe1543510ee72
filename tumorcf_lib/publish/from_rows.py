"""A published run's tables, numbers, figures and card, rebuilt from its published rows.

After a change of the code that derives them the rows are what they were: nobody has to train and
audit for an hour to publish another interval. Figures of slices and of their intensities
do not follow from rows, and stay. And the gallery ``figures/README.md``, which says what every
published figure shows.
"""

import functools
import inspect
import shutil
from pathlib import Path

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.publish import PublishError, card, sections
from tumorcf_lib.publish.card import NUMBERS
from tumorcf_lib.stats.rows import listed, of_patients
from tumorcf_lib.study import (
    calibration,
    leak,
    pooled,
    progress,
    results,
    runtime,
    scratch,
    side_studies,
)
from tumorcf_lib.study.side_studies import MANIFEST, Drawn, interval, published_folders, reader
from tumorcf_lib.tables import derived
from tumorcf_lib.tables.study import POOLED, REFERENCE


def _scores(rows, *tables):
    return slice_scores(rows), *tables


ROWS = "rows_edits"
FIGURES = {
    "fig01_examples": Drawn("slices.examples", ("slices",), again=False),
    "fig02_cohort": Drawn("studies.cohort", ("slices", "split")),
    "fig03_preprocessing": Drawn("slices.preprocessing", ("slices",), again=False),
    "fig04_histograms": Drawn("studies.intensities", ("slices",), again=False),
    "fig05_learning_curves": Drawn("training.learning_curves", ("history",)),
    "fig06_confusion": Drawn("training.confusion", ("table_confusion",)),
    "fig07_reliability": Drawn("training.reliability", ("table_reliability",)),
    "fig08_errors": Drawn("slices.errors", ("rows_predictions",), again=False),
    "fig09_edits": Drawn("slices.edits", (ROWS,), _scores, again=False),
    "fig10_infills": Drawn(
        "controls.infills", ("table_infills", "table_quality", "table_detector")
    ),
    "fig11_dilations": Drawn("scores.dilations", ("table_dilations",)),
    "fig13_fall_to": Drawn("scores.fall_to", ("table_fall_to",)),
    "fig14_correct_vs_wrong": Drawn("scores.correct_vs_wrong", (ROWS,), _scores),
    "fig15_drop_vs_focus": Drawn("scores.drop_vs_focus", (ROWS,), _scores),
    "fig18_headline": Drawn("forests.headline", ("table_scores",)),
    "fig20_energy": Drawn("controls.energy", ("table_energy",)),
    "fig21_probes": Drawn("controls.probes", ("table_probes",)),
    "fig22_networks": Drawn("controls.networks", ("table_networks",)),
    "fig23_covariates": Drawn("controls.covariates", ("table_covariates",)),
    "fig24_robustness": Drawn("controls.robustness", ("table_robustness",)),
}
"""Figures of the notebooks; those that follow from rows are drawn as there, which a test checks."""

SIDE_STUDIES = {
    study.name: study for study in (calibration.STUDY, pooled.STUDY, leak.STUDY, scratch.STUDY)
}
"""Studies without notebooks, by the name of their folders."""

SENTENCES = {"calibration": "known", "leak": "leak", POOLED: "answer"}
"""Parts of the templates that say what was found in a folder."""


def renew(folder) -> Path:
    """Replace what follows from the rows of a published run, and its hashes in the manifest."""
    folder = Path(folder)
    if not all((folder / name).is_file() for name in (MANIFEST, NUMBERS)):
        raise PublishError(
            f"Expected a published run with notebooks in {config.shown(folder)}, found none of its "
            f"{MANIFEST} and {NUMBERS}."
        )
    made = steps.read_json(folder / MANIFEST)
    profile = config.Profile(**made["profile"])
    with progress.clock(f"tables and figures of {profile.name}"), steps.being_filled(folder) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        tables = derived.derive(side_studies.reader(new), profile.n_resamples)
        side_studies.write_tables(new, tables, "phantom" if profile.is_phantom else "")
        numbers = steps.read_json(new / NUMBERS)
        published = {name: rowfiles.round_trip(table) for name, table in tables.items()}
        for stage, name, entry in derived.numbers(published):
            numbers[stage][name] |= {key: results.plain(value) for key, value in entry.items()}
        steps.write_json(new / NUMBERS, numbers, sort_keys=True)
        finish(new, made, runtime.PHANTOM * profile.is_phantom)
    return folder


def finish(folder, made, tag):
    """Figures, card and manifest of a folder whose rows, tables and numbers are there.

    ``made`` is for the manifest; of its figures those stay whose picture is there.
    """
    drawn = {name: {"shows_slices": False} for name in side_studies.draw(folder, FIGURES, tag)}
    kept = made["figures"].items()
    kept = {name: how for name, how in kept if (folder / f"{name}.png").is_file()}
    made = made | {"figures": kept | drawn}
    card.write(folder, made)
    side_studies.write_manifest(folder, made)


# -- the gallery: every figure with its caption, its table and what was found -------


def write_gallery() -> None:
    """Rebuild ``figures/README.md``."""
    steps.write_whole(config.FIGURES / "README.md", page())


def page() -> str:
    """The page's text: real slices first, then phantoms."""
    made = {folder: steps.read_json(folder / MANIFEST) for folder in published_folders()}

    def place(folder):
        cohort, name = made[folder]["profile"]["cohort"], folder.name
        return cohort in ("phantom", "calibration"), [POOLED, REFERENCE, name].index(name), name

    order = sorted(made, key=place)
    shown = [_folder(folder, made[folder]) for folder in order]
    return of_patients(sections.render("gallery.md.j2", folders=shown)).rstrip() + "\n"


def _folder(folder, manifest):
    """What the page says of a folder; a figure that a reader's own notebook saved has its name."""
    side, read = SIDE_STUDIES.get(folder.name), functools.cache(reader(folder))
    figures = side.figures if side else FIGURES
    shown = [{"name": path.stem, "caption": ""} for path in sorted(folder.glob("fig*.png"))]
    for one in shown:
        if one["name"] in figures:
            one |= _figure(folder / f"{one['name']}.svg", figures[one["name"]], read)
    purpose = manifest["profile"]["purpose"].partition(": python")[0]
    source = manifest["source"].removeprefix(purpose).removeprefix(". ")
    about = {"name": folder.name, "purpose": purpose, "source": source}
    return about | {"found": list(_found(folder)), "figures": shown}


def _found(folder):
    """Generated sentences about a folder's tables."""
    if folder.name in SENTENCES:
        yield from sections.sentences(SENTENCES[folder.name], reader(folder))
    elif (folder / "table_claims.csv").is_file():
        claims = rowfiles.read_table(folder / "table_claims.csv")
        own = claims[claims["finding"] == 1]
        told = own["group"] + " " + own.apply(interval, axis=1)
        yield f"One split, one training, every patient the same: Net-Drop {listed(told)}."


def _figure(path, drawn, read):
    """A figure's caption, what it shows, and what it is drawn from."""
    near = [f"{name}{end}" for name in drawn.tables for end in (".csv", ".csv.gz")]
    return {
        "caption": drawn.caption or inspect.getdoc(drawn.function).splitlines()[0],
        "sentence": drawn.sentence(read),
        "links": [name for name in (*near, path.name) if path.with_name(name).is_file()],
    }
