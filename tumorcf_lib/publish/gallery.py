"""``figures/README.md``: every published figure with its caption, its table and what was found."""

import inspect
import json

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.figures import forests, scores, slices, studies, training
from tumorcf_lib.publish.from_rows import FIGURES
from tumorcf_lib.stats import answers
from tumorcf_lib.study.side_studies import MANIFEST

OTHERS = {
    "fig01_examples": (slices.examples, "slices"),
    "fig03_preprocessing": (slices.preprocessing,),
    "fig04_histograms": (studies.intensities,),
    "fig08_errors": (slices.errors, "rows_predictions"),
    "fig09_edits": (slices.edits, "rows_edits"),
    "fig19_calibration": (studies.known_answers,),
    "fig_answer": (scores.answer, "table_still_right"),
    "fig_calibration": (studies.known_answers, "table_networks"),
    "fig_confusion": (training.confusion, "table_confusion"),
    "fig_edits": (slices.edits, "rows_edits"),
    "fig_findings": (forests.findings, "table_findings"),
    "fig_folds": (studies.folds, "table_folds"),
    "fig_headline": (forests.headline, "table_estimates"),
    "fig_leak": (studies.leak, "table_leak"),
    "fig_learning_curves": (training.learning_curves, "history"),
    "fig_primary": (forests.primary, "table_primary"),
    "fig_reliability": (training.reliability, "table_reliability"),
}
FIRST = ("paper-lite-cv", "paper-lite")
MANY = 6  # sentences; more of them are folded
HEAD = """# Figures

Every published figure, drawn from the table or rows linked beside it. This page is made by
`python -m tumorcf_lib publish`; `python -m tumorcf_lib verify` recomputes the tables.
"""


def write(side_studies) -> None:
    """Rebuild the page; ``side_studies``: module by the name of the folder it publishes."""
    steps.write_whole(config.FIGURES / "README.md", page(side_studies))


def page(side_studies) -> str:
    """The page's text: real slices first, then phantoms."""
    folders = sorted(path.parent for path in config.FIGURES.glob(f"*/{MANIFEST}"))
    made = {f: json.loads((f / MANIFEST).read_text(encoding="utf-8")) for f in folders}
    made = {f: m for f, m in made.items() if not f.name.startswith(steps.UNFINISHED)}
    order = sorted(made, key=lambda f: _place(f.name, made[f]["profile"]["cohort"]))
    return "\n".join([HEAD, *(part for f in order for part in _folder(f, made[f], side_studies))])


def _place(name, cohort):
    first = FIRST.index(name) if name in FIRST else len(FIRST)
    return cohort in ("phantom", "calibration"), first, name


def _folder(folder, manifest, side_studies):
    purpose = manifest["profile"]["purpose"].partition(": python")[0]
    yield f"## {folder.name}\n\n{purpose[0].upper()}{purpose[1:]}. {manifest['source']}\n"
    found = list(_found(folder, side_studies.get(folder.name)))
    if found:
        told = "\n".join(f"- {text}" for text in found)
        if len(found) > MANY:
            told = f"<details><summary>{len(found)} sentences</summary>\n\n{told}\n\n</details>"
        yield f"What was found:\n\n{told}\n"
    for path in sorted(folder.glob("fig*.png")):
        yield _entry(path)


def _found(folder, study):
    """Generated sentences about a folder's tables."""
    own = getattr(study, "answer_sentences", getattr(study, "sentences", None))
    if own:
        yield from own(folder)
    elif (folder / "table_findings.csv").is_file():
        by_class = answers.by_class(rowfiles.read_table(folder / "table_findings.csv"))
        yield from (f"{name.capitalize()}: {words}." for name, words in by_class.items())


def _entry(path):
    """One figure: its picture, its caption, links to what it is drawn from."""
    draw, *names = (FIGURES | OTHERS).get(path.stem, (None,))
    caption = inspect.getdoc(getattr(draw, "func", draw)).splitlines()[0] if draw else path.stem
    near = [path.with_name(f"{name}{end}") for name in names for end in (".csv", ".csv.gz")]
    near += [path.with_suffix(".svg")]
    folder = path.parent.name
    links = [f"[{p.name}]({folder}/{p.name})" for p in near if p.is_file()]
    picture = f"![{caption}]({folder}/{path.name})"
    return f"{picture}\n\n**{path.stem}.** {caption} {' · '.join(links)}\n"
