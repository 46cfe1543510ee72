"""Named parts of texts: ``templates/`` has the words, published tables have the numbers."""

import functools

import jinja2

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats.rows import listed
from tumorcf_lib.study import pooled
from tumorcf_lib.study.side_studies import band, interval, p_value, published
from tumorcf_lib.tables import calibration, leak, sites, study
from tumorcf_lib.tables.folds import read_if_there

MISSING = "Not published yet."
PERCENT = "{:.0%}".format
STUDIES = {"leak": "leak", "known": "calibration"}
"""Parts that are not about the folds, and the studies that they are about."""


@functools.cache
def _environment():
    """The templates, and what all of them know; a value that is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tumorcf_lib.publish"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"listed": listed, "percent": PERCENT}
    made.globals |= {"listed": listed, "percent": PERCENT, "interval": interval, "band": band}
    made.globals |= {"p_value": p_value, "verdict": verdict, "part": part, "sentences": sentences}
    made.globals |= {"groups": ("all", *CLASSES), "classes": [*CLASSES], "missing": MISSING}
    made.globals |= {"pooled": pooled, "adjusted_for": sites.ADJUSTED, "n_bits": leak.N_BITS}
    made.globals |= {"scales": calibration.SCALES, "headline_infill": HEADLINE_INFILL}
    return made


def render(template, **values):
    """A template of this package with some values."""
    return _environment().get_template(template).render(values)


def part(name, read=None, template="parts.md.j2") -> str:
    """A named part of a template, of the tables that are published or that ``read`` gives."""
    read = read or published(STUDIES.get(name, study.POOLED))
    own = {"of": functools.partial(of_table, read), "has": functools.partial(has, read)}
    return render(template, name=name, read=read, **own).strip()


def sentences(name, read=None) -> list[str]:
    """The sentences of a part of ``sentences.md.j2``: its paragraphs, each put into one line."""
    paragraphs = part(name, read, "sentences.md.j2").split("\n\n")
    return [" ".join(words.split()) for words in paragraphs if words.strip()]


def verdict(row):
    """A claim's verdict, and its reason if there is one."""
    return row["verdict"] + (f" ({row['reason']})" if row["reason"] else "")


def headline(name, keys):
    """A published table of the folds, of the kind of network that the answer is about."""
    return pooled.plain(published(study.POOLED)(name)).set_index(keys)


def of_table(read, name, **keys):
    """The lines of a table with these values."""
    found = read(name)
    return found[(found[list(keys)] == list(keys.values())).all(axis=1)]


def has(read, name):
    """Whether there is a table of this name."""
    return read_if_there(read, name) is not None
