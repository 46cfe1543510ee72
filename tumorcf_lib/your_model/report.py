"""The report of an audit: rows, tables and one HTML page with the answer first."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles
from tumorcf_lib.edits import scores
from tumorcf_lib.stats import estimates, rows as stats_rows
from tumorcf_lib.your_model import InputError, page, verdict

ALL, N_EXAMPLES = stats_rows.ALL, 6
WORDS = {
    verdict.LEANS: "The decision leans on the tumor.",
    verdict.DOES_NOT: "The decision does not lean on the tumor.",
    verdict.UNKNOWN: "Whether the decision leans on the tumor cannot be told: {why}.",
}
COLUMNS = {
    "correct": "accuracy, recall", "kept": "keep answer without tumor", "kept_sham": "with a sham",
    "p_orig": "P of the true class", "delta_drop": "Delta-Drop", "sham_drop": "Sham-Drop",
    "net_drop": "Net-Drop", "delta_focus": "Delta-Focus",
}
SATURATED = {  # probabilities near 1 cannot move: log-odds lead
    "correct": COLUMNS["correct"], "kept": COLUMNS["kept"], "kept_sham": COLUMNS["kept_sham"],
    "net_drop_lo": "Net-Drop (log-odds)", "delta_drop_lo": "Delta-Drop (log-odds)",
    "p_orig": COLUMNS["p_orig"], "delta_drop": "Delta-Drop (P)", "net_drop": "Net-Drop (P)",
}
FALLS = ("original", "remove", "sham", "only", "background", "blank")
LIMITS = (
    "An infill is one guess at a slice without a tumor, not the true counterfactual.",
    "A mask marks the lesion as it was drawn. Edema and displaced tissue outside it stay in every "
    "edited slice and may give the class away.",
    "Removing a tumor changes a slice more than removing other tissue does (see the RMS of the "
    "edits), so Net-Drop is an upper bound on what is due to the tumor itself.",
    "A classifier without an answer for 'nothing there' has to fall to some class. A low drop in "
    "the class that blank slices fall to is no evidence that the tumor is ignored.",
    "Intervals are over patients. Another training of the same network may give another answer; "
    "networks that know nothing say how far an effect reaches by accident.",
    "Masks and labels are taken as true. 'Leans on' is meant for this image content and this "
    "classifier; nothing here is about causes of disease.",
)


def write_report(audits, folder, *, cohort=None, title="Does the classifier look at the tumor?",
                 notes=(), examples=None) -> Path:
    """Write rows, tables and a self-contained HTML page into a folder.

    Parameters
    ----------
    audits : Audited or sequence of Audited
        From :func:`running.audited`; several stand side by side.
    folder : path
        Made if need be. Gets ``report.html``, ``audit.json``, and for each audit ``rows.csv``,
        ``table_scores.csv`` and ``table_edits.csv`` (of several: with a number before the dot).
    cohort : Cohort, optional
        What was audited: its ``source`` is quoted.
    title : str
    notes : sequence of str
        Sentences on how the audit was made.
    examples : Cohort, optional
        Prepared slices that are shown with their edits; the page then **holds pixels of
        patients**: mind whom you give it to.

    Returns
    -------
    pathlib.Path
        The page.
    """
    audits = [audits] if not isinstance(audits, (list, tuple)) else list(audits)
    if not audits or not all(len(one.rows) for one in audits):
        raise InputError("Expected an audit's rows, got none. Audit at least one slice.")
    folder, several = Path(folder), len(audits) > 1
    folder.mkdir(parents=True, exist_ok=True)
    parts, sections, about, lines = [], [], [], []
    for k, one in enumerate(audits):
        means, made = score_table(one), edit_table(one.rows)
        for name, table in (("rows", one.rows), ("table_scores", means), ("table_edits", made)):
            rowfiles.write_table(table, folder / f"{name}{k + 1 if several else ''}.csv")
        word = one.verdict
        about.append({"classifier": one.name, "verdict": word.word, "why": word.why,
                      "warnings": one.warnings, **word.numbers, **one.about})
        named = f"{one.name}: " if several else ""
        first = verdict.first_line(one.answers, verdict.no_tumor_class(one.answers))
        parts += [page.element("p", named + first, "first"),
                  page.element("p", WORDS[word.word].format(why=word.why), "verdict")]
        lines.append(_line(one))
        sections += [page.element("h2", one.name)] if several else []
        sections += _sections(one, means, made, examples)
    words = json.dumps(about, indent=1, default=str, ensure_ascii=False)
    (folder / "audit.json").write_text(words, encoding="utf-8")
    warnings = dict.fromkeys(text for one in audits for text in one.warnings)
    parts += [page.element("p", f"Warning: {text}", "warning") for text in warnings]
    if several:
        parts += [page.element("h2", "Side by side"), page.table(pd.DataFrame(lines))]
    parts += [*sections, page.element("h2", "How this was made")]
    parts += [page.element("p", cohort.source)] if cohort is not None else []
    parts.append(page.bullets(notes))
    for one in audits:
        made = {"classifier": one.name, **one.about, "tumorcf": __version__}
        parts.append(page.table(pd.DataFrame({"what": list(made), "value": list(made.values())})))
    parts += [page.element("h2", "Limits"), page.bullets(LIMITS, "small")]
    return page.write(title, parts, folder / "report.html")


def check_parts(name, found):
    """What ``--check`` shows of a classifier."""
    table = found.scales
    scales = table.assign(
        accuracy=[f"{a:.0%}" for a in table["accuracy"]], p=[f"{p:.2f}" for p in table["p"]]
    ).rename(columns={"p": "P of the true class (median)"})
    words = "Some slices with the outlines of their masks: do they lie on the tumors?"
    return [
        page.element("h2", f"{name}: looked at, nothing measured"), page.bullets(found.facts),
        *(page.element("p", f"Warning: {text}", "warning") for text in found.warnings),
        page.table(scales), page.picture(page.contact_sheet(found.sample), words),
    ]


# -- Tables ------------------------------------------------------------------


def interval(value, digits=2) -> str:
    """A mean and its interval, as the page shows it."""
    mean, low, high = (f"{number:.{digits}f}" for number in value)
    return mean if low == "nan" else f"{mean} [{low}, {high}]"


def slice_table(one) -> pd.DataFrame:
    """One row of scores a slice, and whether it keeps its answer: without tumor, with a sham."""
    table = scores.slice_scores(one.rows)
    return table.assign(
        kept=1 - table["flipped"].astype(float), kept_sham=1 - table["sham_flip_rate"]
    )


def score_table(one) -> pd.DataFrame:
    """Means of every score, over all slices and by class, with intervals over patients.

    Returns
    -------
    DataFrame
        group, score, effect, low, high, n_slices, n_persons. Scores on log-odds end in ``_lo``;
        "correct" is the accuracy (all) or the recall (a class).
    """
    named = [*COLUMNS, "net_focus", "lo_orig"]
    named += [f"{name}_lo" for name in ("delta_drop", "sham_drop", "net_drop", "delta_focus")]
    means = stats_rows.means(slice_table(one), named, n_resamples=verdict.N_RESAMPLES,
                             groups=[ALL, *one.answers.classes])
    columns = ["group", "score", "effect", "low", "high", "n_slices", "n_persons"]
    return means.loc[means["n_slices"] > 0, columns].reset_index(drop=True)


def edit_table(rows) -> pd.DataFrame:
    """How many edits of each kind were made, and why others were not, each reason with its number;
    median_rms of the changes is in the slices' unit.
    """
    made = rows["reason"] == ""

    def counted(reasons):
        counts = reasons[reasons != ""].value_counts()
        return ", ".join(f"{reason} ({n})" for reason, n in counts.items())

    return rows.assign(is_made=made, is_not=~made).groupby(
        ["edit", "infill", "dilation_px", "label"], sort=False, as_index=False
    ).agg(made=("is_made", "sum"), not_made=("is_not", "sum"), reasons=("reason", counted),
          median_rms=("edit_rms", "median"))


def by_class(means, saturated) -> pd.DataFrame:
    """The page's table of scores, a group a row."""
    columns = SATURATED if saturated else COLUMNS
    cells = means.assign(cell=[interval(v) for v in means[["effect", "low", "high"]].to_numpy()])
    wide = cells.pivot(index="group", columns="score", values="cell")
    n_slices = means[means["score"] == "correct"].set_index("group")["n_slices"]
    wide = wide.reindex(index=n_slices.index, columns=list(columns)).rename(columns=columns)
    wide.insert(0, "slices", n_slices)
    return wide.reset_index()


def falls(one) -> pd.DataFrame:
    """The share of slices, in percent, that each class is given to, by edit."""
    rows = stats_rows.headline_rows(one.rows)
    rows = rows[(rows["reason"] == "") & rows["edit"].isin(FALLS)]
    given = rows[[f"p_{name}" for name in one.answers.classes]].to_numpy().argmax(axis=1)
    counts = pd.crosstab(rows["edit"], np.array(one.answers.classes, object)[given])
    counts = counts.reindex([edit for edit in FALLS if edit in counts.index])
    counts = counts.reindex(columns=list(one.answers.classes), fill_value=0)
    share = counts.div(counts.sum(axis=1), axis=0).map("{:.0%}".format)
    share.insert(0, "slices", counts.sum(axis=1))
    return share.reset_index()


def controls(one) -> pd.DataFrame:
    """Net-Drop for every infill and dilation that was audited; empty for the headline alone."""
    removed = one.rows.loc[one.rows["edit"] == "remove", ["infill", "dilation_px"]]
    pairs, lines = removed.drop_duplicates(), []
    for infill, dilation in pairs.itertuples(index=False, name=None):
        table = scores.slice_scores(one.rows, infill=infill, dilation_px=dilation)
        e = estimates.mean(table, "net_drop", n_resamples=verdict.N_RESAMPLES)
        if e.n_slices:
            lines.append({"infill": infill, "dilation (px)": dilation, "slices": e.n_slices,
                          "Net-Drop": interval((e.value, e.low, e.high))})
    return pd.DataFrame(lines if len(pairs) > 1 else [])


# -- Sections ----------------------------------------------------------------


def _line(one):
    """A classifier's line of the table side by side."""
    n, share = one.verdict.numbers, verdict.shares(one.answers)
    return {
        "classifier": one.name, "verdict": str(one.verdict), "accuracy": interval(n["accuracy"]),
        "keep their answer": f"{share['kept']:.0%}", "with a sham": f"{share['kept_sham']:.0%}",
        "effect": interval(n["effect"]) if "effect" in n else "",
    }


def _sections(one, means, made, examples):
    saturated = one.verdict.numbers["scale"] == "log-odds"
    parts = [page.element("h2", "By class"), page.table(by_class(means, saturated))]
    bars = means.pivot(index="group", columns="score", values="effect")
    counts = means[means["score"] == "kept"].set_index("group")["n_slices"]
    if len(counts):
        bars = bars.reindex(counts.index, columns=["kept", "kept_sham"])
        bars = bars.assign(slices=counts).reset_index()
        parts.append(page.picture(page.shares(bars), (
            "Slices that keep their answer when their tumor is taken out, and when the same shape "
            "is taken out elsewhere in the head."
        )))
    parts += [page.element("h2", "Why this verdict"), page.bullets(_reasons(one))]
    if one.where is not None:
        parts += [page.element("h2", "Where it looks"), page.picture(*one.where)]
    parts += _examples(one, examples) if examples is not None and len(counts) else []
    parts += [page.element("h2", "Where do slices fall?"), page.element(
        "p", "The class given to slices under each edit. A class that blank slices fall to is the "
        "classifier's default."), page.table(falls(one))]
    others = controls(one)
    if len(others):
        parts += [page.element("h2", "Other infills, other dilations"), page.table(others)]
    rms = [f"{v:.3f}" if np.isfinite(v) else "" for v in made["median_rms"]]
    return [*parts, page.element("h2", "Which edits were made"),
            page.table(made.assign(median_rms=rms))]


def _reasons(one):
    n, scale = one.verdict.numbers, one.verdict.numbers["scale"]
    texts = [
        f"Accuracy {interval(n['accuracy'])}; the same answers dealt at random over the slices "
        f"would reach {n['chance']:.2f}: {interval(n['skill'])} above chance"
    ]
    if "effect" not in n:
        return texts
    texts += [
        f"Effect (in {scale}): {interval(n['effect'])}. Taking the tumor out lowers the slice's "
        f"own class by {interval(n['own'])} beyond a sham; on the other classes' slices the same "
        f"classes drift by {interval(n['drift'])}. The effect is the difference, over all slices",
        f"Patients' labels permuted: {n['p_permuted']:.3f} of the permutations have an effect as "
        f"large; one sham measured against the others: {n['sham_effect']:.3f}",
    ]
    for kind, (m, largest, bound) in n["null"].items():
        texts.append(
            f"{m} {kind}, which know nothing, of the same confidence on the same slices: the "
            f"largest effect is {largest:.3f}, and fewer than one in a hundred would exceed "
            f"{bound:.3f}. Where little but the tumors differs between slices, any network's "
            "answer hangs on them, and by accident it is often the right one"
        )
    return [*texts, (
        "'Leans' is said only if accuracy and effect pass all of these; 'does not lean' if the "
        f"effect's whole interval is below {verdict.RELEVANT[scale]} ({scale}), a margin that we "
        "chose"
    )]


def _examples(one, examples):
    known = slice_table(one)
    known = known[known["slice_id"].isin(examples.table["slice_id"]) & known["delta_drop"].notna()]
    chosen = []
    for _, own in known.groupby("label", sort=False):
        row = own.sort_values("delta_drop", kind="stable").iloc[(len(own) - 1) // 2]
        chosen.append(int(np.flatnonzero(examples.table["slice_id"] == row["slice_id"])[0]))
    if not chosen:
        return []
    rows = stats_rows.headline_rows(one.rows[one.rows["reason"] == ""])
    labels, p = scores.arrays(rows)
    rows = rows.assign(p_true=p[np.arange(len(rows)), labels])
    return [page.element("h2", "What the classifier was shown"), page.picture(
        page.examples(examples, rows, chosen[:N_EXAMPLES]),
        "Of the slices looked at, in each class the one at the median of Delta-Drop; the number is "
        "the probability of its true class.")]
