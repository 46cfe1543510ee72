"""``figures/README.md``: every published figure with its caption, its table and what was found."""

import functools
import inspect

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish.from_rows import FIGURES
from tumorcf_lib.publish.texts import known
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import leak, pooled
from tumorcf_lib.study.side_studies import MANIFEST, interval, published_folders, reader

FIRST = ("paper-lite-cv", "paper-lite")
SENTENCES = {
    "calibration": known,
    "leak": leak.sentences,
    pooled.NAME: pooled.answer_sentences,
}
MANY = 6  # sentences; more of them are folded
HEAD = """# Figures

Every published figure: what it is, and in bold what it shows, read from the table that is linked
beside it. This page is made by `python -m tumorcf_lib publish`; `python -m tumorcf_lib verify`
recomputes the tables.
"""


def write(side_studies) -> None:
    """Rebuild the page; ``side_studies``: module by the name of the folder it publishes."""
    steps.write_whole(config.FIGURES / "README.md", page(side_studies))


def page(side_studies) -> str:
    """The page's text: real slices first, then phantoms."""
    made = {folder: steps.read_json(folder / MANIFEST) for folder in published_folders()}
    order = sorted(made, key=lambda f: _place(f.name, made[f]["profile"]["cohort"]))
    text = "\n".join([HEAD, *(part for f in order for part in _folder(f, made[f], side_studies))])
    return of_patients(text)


def _place(name, cohort):
    first = FIRST.index(name) if name in FIRST else len(FIRST)
    return cohort in ("phantom", "calibration"), first, name


def _folder(folder, manifest, side_studies):
    purpose = manifest["profile"]["purpose"].partition(": python")[0]
    yield f"## {folder.name}\n\n{purpose[0].upper()}{purpose[1:]}. {manifest['source']}\n"
    found = list(_found(folder))
    if found:
        told = "\n".join(f"- {text}" for text in found)
        if len(found) > MANY:
            told = f"<details><summary>{len(found)} sentences</summary>\n\n{told}\n\n</details>"
        yield f"What was found:\n\n{told}\n"
    study = side_studies.get(folder.name)
    figures, read = study.STUDY.figures if study else FIGURES, functools.cache(reader(folder))
    for path in sorted(folder.glob("fig*.png")):
        if path.stem in figures:
            yield _entry(path, figures[path.stem], read)
        else:  # a figure that a reader's own notebook saved
            yield f"![{path.stem}]({folder.name}/{path.name})\n"


def _found(folder):
    """Generated sentences about a folder's tables."""
    if folder.name in SENTENCES:
        yield from SENTENCES[folder.name](folder)
    elif (folder / "table_claims.csv").is_file():
        claims = rowfiles.read_table(folder / "table_claims.csv")
        for row in claims[claims["finding"] == 1].to_dict("records"):
            yield f"{row['claim']}: Net-Drop {interval(row)}, {row['n_patients']} patients."


def _entry(path, drawn, read):
    """One figure: picture, caption, what it shows, and links to what it is drawn from."""
    caption = inspect.getdoc(drawn.function).splitlines()[0]
    near = [path.with_name(f"{name}{end}") for name in drawn.tables for end in (".csv", ".csv.gz")]
    near += [path.with_suffix(".svg")]
    folder = path.parent.name
    links = [f"[{p.name}]({folder}/{p.name})" for p in near if p.is_file()]
    return (
        f"![{caption}]({folder}/{path.name})\n\n{path.stem}: {caption} "
        f"**{drawn.sentence(read)}** {' · '.join(links)}\n"
    )
