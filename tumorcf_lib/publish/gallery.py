"""``figures/README.md``: every published figure with its caption, its table and what was found."""

import functools
import inspect

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import sections
from tumorcf_lib.publish.from_rows import FIGURES
from tumorcf_lib.stats.rows import listed, of_patients
from tumorcf_lib.study.side_studies import MANIFEST, interval, published_folders, reader
from tumorcf_lib.tables.study import POOLED

FIRST = ("paper-lite-cv", "paper-lite")
SENTENCES = {"calibration": "known", "leak": "leak", POOLED: "answer"}
"""Parts of the templates that say what was found in a folder."""


def write(side_studies) -> None:
    """Rebuild the page; ``side_studies``: module by the name of the folder it publishes."""
    steps.write_whole(config.FIGURES / "README.md", page(side_studies))


def page(side_studies) -> str:
    """The page's text: real slices first, then phantoms."""
    made = {folder: steps.read_json(folder / MANIFEST) for folder in published_folders()}

    def place(folder):
        cohort, name = made[folder]["profile"]["cohort"], folder.name
        return cohort in ("phantom", "calibration"), [*FIRST, name].index(name), name

    order = sorted(made, key=place)
    shown = [_folder(folder, made[folder], side_studies.get(folder.name)) for folder in order]
    return of_patients(sections.render("gallery.md.j2", folders=shown)).rstrip() + "\n"


def _folder(folder, manifest, study):
    """What the page says of a folder; a figure that a reader's own notebook saved has its name."""
    figures, read = study.STUDY.figures if study else FIGURES, functools.cache(reader(folder))
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
