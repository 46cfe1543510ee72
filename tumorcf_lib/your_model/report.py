"""The report of an audit: rows, tables and one HTML page with the answer first."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles
from tumorcf_lib.edits import scores
from tumorcf_lib.figures import style
from tumorcf_lib.stats import classification, estimates, rows as stats_rows
from tumorcf_lib.stats.persons import ROUNDING
from tumorcf_lib.tables import study
from tumorcf_lib.your_model import TITLE, page, verdict

ALL, N_EXAMPLES = stats_rows.ALL, 5
OWN_TABLE = re.compile(r"(rows|table_scores|table_edits)[0-9]*\.csv")
"""Tables that an audit writes, and removes when it is made again."""

WORDS = {
    verdict.LEANS: "The decision leans on the tumor: more than by chance, though not "
    "necessarily strongly. The effect, in {scale}, is {effect}.",
    verdict.DOES_NOT: "The decision does not lean on the tumor.",
    verdict.UNKNOWN: "Whether the decision leans on the tumor cannot be told: {why}.",
}
SHARES = {
    "correct": "accuracy, recall",
    "kept": "keep their answer without the tumor",
    "kept_sham": "keep it with a sham",
}
PLAIN = ("p_orig", "delta_drop", "sham_drop", "net_drop", "delta_focus")
LOG_ODDS = {"delta_drop_lo": "Delta-Drop (log-odds)", "net_drop_lo": "Net-Drop (log-odds)"}
SHOWN = SHARES | {name: style.SCORE_NAMES[name] for name in PLAIN} | LOG_ODDS
EDITS = {
    "dilation_px": "dilation (px)",
    "label": "class",
    "not_made": "not made",
    "why_not": "why not",
    "flagged": "over scalp, skull or air",
    "median_rms": "change (RMS, median)",
    "rms_to_sham": "times a sham's",
}
FALLS = ("original", "remove", "sham", "only", "background", "blank")


def write_report(audits, folder, *, cohort=None, title=TITLE, notes=(), examples=None) -> Path:
    """Write rows, tables and a self-contained HTML page into a folder.

    Parameters
    ----------
    audits : Audited or sequence of Audited
        From :func:`running.audited`; of several, the first lines and verdicts stand together.
    folder : path
        Made if need be. Gets ``report.html``, ``audit.json``, and for each audit ``rows.csv``,
        ``table_scores.csv`` and ``table_edits.csv`` (of several: with a number before the dot).
    cohort : Cohort, optional
        What was audited: its ``source`` is quoted.
    title : str
    notes : sequence of str
        Sentences on how the audit was made.
    examples : Cohort, or list of one for each audit, optional
        Prepared slices that are shown with their edits; the page then **holds pixels of
        patients**: mind whom you give it to.

    Returns
    -------
    pathlib.Path
        The page.
    """
    audits = [audits] if not isinstance(audits, (list, tuple)) else list(audits)
    folder, several = Path(folder), len(audits) > 1
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():  # of an audit of more classifiers
        if OWN_TABLE.fullmatch(path.name):
            path.unlink()
    shown, told = [], []
    examples = examples if isinstance(examples, list) else [examples] * len(audits)
    for k, (one, own) in enumerate(zip(audits, examples, strict=True)):
        means, made = score_table(one), study.edits(one.rows)
        for name, table in (("rows", one.rows), ("table_scores", means), ("table_edits", made)):
            rowfiles.write_table(table, folder / f"{name}{k + 1 if several else ''}.csv")
        shown.append(_shown(one, means, made, own))
        judged = {"verdict": one.verdict.word, "why": one.verdict.why, "warnings": one.warnings}
        told.append({"classifier": one.name, **judged, **one.verdict.numbers, **one.about})
    told = json.loads(json.dumps(told, default=str), parse_constant=lambda nan: None)  # no NaN
    words = json.dumps(told, indent=1, ensure_ascii=False)
    (folder / "audit.json").write_text(words, encoding="utf-8")
    return page.write(
        folder / "report.html",
        "report.html.j2",
        title=title,
        audits=shown,
        several=several,
        warnings=dict.fromkeys(text for one in audits for text in one.warnings),
        source="" if cohort is None else cohort.source,
        notes=notes,
        interval=interval,
        compared=verdict.compared,
    )


# -- Tables ------------------------------------------------------------------


def interval(value) -> str:
    """A mean and its interval, as the page shows it; none where no resample differs."""
    mean, low, high = (f"{round(number, 2) + 0.0:.2f}" for number in value)  # no -0
    if np.isnan(value[2] - value[1]):
        return f"{mean} (no interval)"
    return f"{mean} [{low}, {high}]" if value[2] - value[1] > ROUNDING else mean


def _mean(own, column, **options):
    """A mean; of truth values as a share, which has its interval where no resample differs, too."""
    how = estimates.share if column in ("correct", "kept") else estimates.mean
    return how(own, column, **options)


RESAMPLED = {"n_resamples": verdict.N_RESAMPLES, "how": _mean}


def in_words(table):
    """Edits and infills by the names that the notebooks use."""
    infills = {name: style.infill_name(name) for name in table.get("infill", ())}
    return table.replace({"edit": style.EDIT_NAMES, "infill": infills})


def _cells(means):
    return [interval(v) for v in means[["effect", "low", "high"]].to_numpy()]


def slice_table(one) -> pd.DataFrame:
    """One row of scores a slice, and :func:`verdict.kept`."""
    return scores.slice_scores(one.rows).assign(**verdict.kept(one.answers))


def score_table(one) -> pd.DataFrame:
    """Means of every score, over all slices and by class, with intervals over patients.

    Scores on log-odds end in ``_lo``; "correct" is the accuracy (all) or the recall (a class).
    """
    groups = [ALL, *one.answers.classes]
    how = RESAMPLED | {"complete": True}  # Delta - Sham = Net
    return stats_rows.score_means(slice_table(one), list(SHOWN), groups=groups, **how)


def by_class(means) -> pd.DataFrame:
    """The page's table of scores: a score a row, a class a column."""
    cells = means.assign(cell=_cells(means))
    n_slices = means[means["score"] == "correct"].set_index("group")["n_slices"]
    wide = cells.pivot(index="score", columns="group", values="cell")
    wide = wide.reindex(index=list(SHOWN), columns=n_slices.index).rename(index=SHOWN).fillna("")
    return pd.concat([n_slices.to_frame("slices").T, wide]).reset_index(names="")


def falls(one) -> pd.DataFrame:
    """The share of slices, in percent, that each class is given to, by edit."""
    rows = stats_rows.headline_rows(one.rows[one.rows["reason"] == ""])
    share = pd.crosstab(rows["edit"], classification.predicted(rows), normalize="index")
    edits = [edit for edit in FALLS if edit in share.index]
    share = share.reindex(edits, columns=list(one.answers.classes), fill_value=0)
    share = share.map("{:.0%}".format)
    share.insert(0, "slices shown", rows["edit"].value_counts())
    return in_words(share.reset_index())


def controls(one) -> pd.DataFrame:
    """Net-Drop for every infill and dilation that was audited; empty for the headline alone."""
    by = ["infill", "dilation_px"]
    pairs = one.rows.loc[one.rows["edit"] == "remove", by].drop_duplicates().to_dict("records")
    if len(pairs) < 2:
        return pd.DataFrame()
    parts = [scores.slice_scores(one.rows, **pair).assign(**pair) for pair in pairs]
    means = stats_rows.score_means(pd.concat(parts), "net_drop", by=by, groups=[ALL], **RESAMPLED)
    shown = means[by].assign(slices=means["n_slices"], **{"Net-Drop": _cells(means)})
    return in_words(shown).rename(columns=EDITS)


# -- What is shown ----------------------------------------------------------------


def _shown(one, means, made, examples):
    """What the page's template shows of an audit."""
    kept = means[means["score"].isin(page.KEPT)]
    about = {"classifier": one.name, **one.about, "tumorcf": __version__}
    numbers = one.verdict.numbers
    words = {"why": one.verdict.why.rstrip(".?"), "scale": numbers["scale"]}
    words["effect"] = interval(numbers["effect"]) if "effect" in numbers else ""
    return {
        "name": one.name,
        "first": verdict.first_line(one.answers),
        "verdict": WORDS[one.verdict.word].format(**words),
        "by_class": by_class(means),
        "kept": None if kept.empty else page.shares(kept),
        "numbers": numbers,
        "margin": verdict.RELEVANT[numbers["scale"]],
        "where": one.where,
        "examples": None if examples is None or kept.empty else _examples(one, examples),
        "falls": falls(one),
        "controls": controls(one),
        "edits": in_words(made).rename(columns=EDITS),
        "about": pd.DataFrame({"what": list(about), "value": list(about.values())}),
    }


def _examples(one, examples):
    """Of the slices at hand, in each class the one at the median of Delta-Drop."""
    known = slice_table(one)
    known = known[known["slice_id"].isin(examples.table["slice_id"]) & known["delta_drop"].notna()]
    if known.empty:
        return None
    ordered = known.sort_values("delta_drop", kind="stable").groupby("label", sort=False)
    shown = ordered["slice_id"].agg(lambda own: own.iloc[(len(own) - 1) // 2])
    chosen = np.flatnonzero(examples.table["slice_id"].isin(shown))[:N_EXAMPLES]
    rows = stats_rows.headline_rows(one.rows[one.rows["reason"] == ""])
    return page.examples(examples, rows, chosen)
