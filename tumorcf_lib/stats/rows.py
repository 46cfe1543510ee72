"""One table of estimates: most published tables are calls of :func:`means`."""

import itertools
import re

import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.scores import class_names
from tumorcf_lib.stats import estimates

ALL = "all"
PROBABILITY, LOG_ODDS = "probability", "log-odds"
"""Scales of a score; on log-odds its column ends with ``_lo``."""

NO_SLICES = "no slices"
NUMBERS = ["effect", "low", "high", "n_slices", "n_persons"]
"""The columns of an estimate in most published tables."""

COMPLETE_WITH = {
    f"{kind}_drop{end}": f"net_drop{end}"
    for kind in ("delta", "sham", "net")
    for end in ("", "_lo")
}
"""Scores that add up to another one, and that other one."""


def headline_rows(rows):
    """Rows at the headline infill and dilation, and all that have neither."""
    return rows[rows["infill"].isin(("", HEADLINE_INFILL)) & (rows["dilation_px"] == 0)]


def answered(rows):
    """Rows of edits that were made, so that a network was asked."""
    return rows[rows[f"p_{class_names(rows)[0]}"].notna()]


def classes_of(labels):
    """The classes that occur: those of the study in their order, then any others by name.

    >>> classes_of(["none", "glioma", "meningioma", "glioma"])
    ['meningioma', 'glioma', 'none']
    """
    present = set(labels)
    return [name for name in CLASSES if name in present] + sorted(present - set(CLASSES))


def listed(words):
    """Words as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = [str(word) for word in words]
    return f"{', '.join(first)} and {last}" if first else last


def of_patients(text):
    """The words of people: files and columns say "person", prose says "patient".

    >>> of_patients("33 persons; `person_id` stays")
    '33 patients; `person_id` stays'
    """
    return re.sub(r"\b(p|P)erson(s?)\b", r"\1atient\2", text)


def groups(table):
    """All, and each class that has rows."""
    return [ALL, *classes_of(table["label"])]


def of_group(table, group):
    """The rows of a class, or all of them."""
    return table if group == ALL else table[table["label"] == group]


def in_front(table, **columns):
    """The table with more columns before its own."""
    return table.assign(**columns)[[*columns, *table.columns]]


def stacked(parts, columns):
    """These columns of the tables, below each other; without any table an empty one."""
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def means(rows, columns, by=(), *, n_resamples, groups=None, how=estimates.mean, complete=False):
    """One row for each score and group of slices: its mean with an interval over patients.

    Parameters
    ----------
    rows : DataFrame
        One row per slice: person_id, label, the scores and what to group by.
    columns : str or sequence of str
        Scores to average; slices where a score is NaN are left out of it.
    by : sequence of str
        Columns whose values split the rows first, in order of appearance.
    n_resamples : int
    groups : sequence of str, optional
        "all" and classes; by default all and each class that occurs.
    how : callable
        ``estimates.mean``, ``share`` or ``mean_of_persons``.
    complete : bool
        Average delta_drop, sham_drop and net_drop (and those with ``_lo``) over the slices that
        have shams only, so that Delta - Sham = Net exactly. A group without any sham keeps
        its delta_drop over all its slices.

    Returns
    -------
    DataFrame
        The columns of `by`, score, group, `NUMBERS`. A group without values has NaN and 0 slices.

    Examples
    --------
    >>> scores = pd.DataFrame({"label": "glioma", "person_id": list("aabc"),
    ...                        "net_drop": [0.1, 0.3, 0.5, None]})
    >>> means(scores, "net_drop", n_resamples=10)[
    ...     ["group", "effect", "n_slices", "n_persons"]].values.tolist()
    [['all', 0.3, 3, 2], ['glioma', 0.3, 3, 2]]
    """
    columns = [columns] if isinstance(columns, str) else list(columns)
    named = [ALL, *classes_of(rows["label"])] if groups is None else list(groups)
    parts = rows.groupby(list(by), sort=False) if by else [((), rows)]
    lines = []
    for (key, part), column, group in itertools.product(parts, columns, named):
        own = of_group(part, group)
        if complete and COMPLETE_WITH.get(column) in own:
            has_sham = own[column].notna() & own[COMPLETE_WITH[column]].notna()
            own = own[has_sham] if has_sham.any() else own
        found = how(own, column, n_resamples=n_resamples) if len(own) else estimates.NOTHING
        counts = {"n_slices": found.n_slices, "n_persons": found.n_persons}
        line = dict(zip(by, key)) | {"score": column, "group": group}
        lines.append(line | found.columns() | counts)
    return pd.DataFrame(lines, columns=[*by, "score", "group", *NUMBERS])


def score_means(scores, columns, **options):
    """:func:`means` of the groups that have slices."""
    table = means(scores, columns, **options)
    return table[table["n_slices"] > 0].reset_index(drop=True)
