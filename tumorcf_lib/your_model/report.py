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
SHARES = {
    "correct": "accuracy, recall",
    "kept": "keep their answer without the tumor",
    "kept_sham": "keep it with a sham",
}
SCORES = SHARES | {
    "p_orig": "P of the true class",
    "delta_drop": "Delta-Drop",
    "sham_drop": "Sham-Drop",
    "net_drop": "Net-Drop",
    "delta_focus": "Delta-Focus",
}
SATURATED = SHARES | {  # probabilities near 1 cannot move: log-odds lead
    "net_drop_lo": "Net-Drop (log-odds)",
    "delta_drop_lo": "Delta-Drop (log-odds)",
    "p_orig": "P of the true class",
    "delta_drop": "Delta-Drop (P)",
    "net_drop": "Net-Drop (P)",
}
EDITS = {
    "dilation_px": "dilation (px)",
    "label": "class",
    "not_made": "not made",
    "reasons": "why not",
    "median_rms": "change (RMS, median)",
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
    "Intervals are over patients. Another training of the same network may answer otherwise; "
    "networks that know nothing show how large an effect is by accident.",
    "Masks and labels are taken as true. 'Leans on' is meant for this image content and this "
    "classifier; nothing here is about causes of disease.",
)


def write_report(
    audits,
    folder,
    *,
    cohort=None,
    title="Does the classifier look at the tumor?",
    notes=(),
    examples=None,
) -> Path:
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
        about.append(
            {
                "classifier": one.name,
                "verdict": word.word,
                "why": word.why,
                "warnings": one.warnings,
                **word.numbers,
                **one.about,
            }
        )
        named = f"{one.name}: " if several else ""
        first = verdict.first_line(one.answers, verdict.no_tumor_class(one.answers))
        parts += [
            page.element("p", named + first, "first"),
            page.element("p", WORDS[word.word].format(why=word.why), "verdict"),
        ]
        lines.append(_line(one))
        sections += [page.element("h2", one.name)] if several else []
        sections += _sections(one, means, made, examples)
    words = json.dumps(about, indent=1, default=str, ensure_ascii=False)
    (folder / "audit.json").write_text(words, encoding="utf-8")
    warnings = dict.fromkeys(text for one in audits for text in one.warnings)
    parts += [page.element("p", f"Warning: {text}", "warning") for text in warnings]
    if several:
        beside = pd.DataFrame(lines).set_index("classifier").T.reset_index(names="")
        parts += [page.element("h2", "Side by side"), page.table(beside, "text")]
    parts += [*sections, page.element("h2", "How this was made")]
    parts += [page.element("p", cohort.source)] if cohort is not None else []
    parts.append(page.bullets(notes))
    for one in audits:
        made = {"classifier": one.name, **one.about, "tumorcf": __version__}
        made = pd.DataFrame({"what": list(made), "value": list(made.values())})
        parts.append(page.table(made, "text"))
    parts += [page.element("h2", "Limits"), page.bullets(LIMITS, "small")]
    return page.write(title, parts, folder / "report.html")


def check_parts(name, found):
    """What ``--check`` shows of a classifier."""
    scales = found.scales.assign(
        accuracy=found.scales["accuracy"].map("{:.0%}".format),
        p=found.scales["p"].map("{:.2f}".format),
    )
    return [
        page.element("h2", f"{name}: looked at, nothing measured"),
        page.bullets(found.facts),
        *(page.element("p", f"Warning: {text}", "warning") for text in found.warnings),
        page.table(scales.rename(columns={"p": "P of the true class (median)"})),
        page.picture(
            page.contact_sheet(found.sample),
            "Some slices with the outlines of their masks: do they lie on the tumors?",
        ),
    ]


# -- Tables ------------------------------------------------------------------


def interval(value, digits=2) -> str:
    """A mean and its interval, as the page shows it."""
    mean, low, high = (f"{round(number, digits) + 0.0:.{digits}f}" for number in value)  # no -0
    return mean if low == "nan" else f"{mean} [{low}, {high}]"


def slice_table(one) -> pd.DataFrame:
    """One row of scores a slice, and whether it keeps its answer: without its tumor, with a sham.

    Both only where both edits were made, as in the page's first line.
    """
    table = scores.slice_scores(one.rows)
    kept, kept_sham = 1 - table["flipped"].astype(float), 1 - table["sham_flip_rate"]
    return table.assign(kept=kept.where(kept_sham.notna()), kept_sham=kept_sham.where(kept.notna()))


def score_table(one) -> pd.DataFrame:
    """Means of every score, over all slices and by class, with intervals over patients.

    Returns
    -------
    DataFrame
        score, group, effect, low, high, mean_of_person_means, n_slices, n_persons. Scores on
        log-odds end in ``_lo``; "correct" is the accuracy (all) or the recall (a class).
    """
    drops = ("delta_drop", "sham_drop", "net_drop", "delta_focus")
    named = [*SCORES, "net_focus", "lo_orig", *(f"{name}_lo" for name in drops)]
    return stats_rows.score_means(
        slice_table(one), named, n_resamples=verdict.N_RESAMPLES, groups=[ALL, *one.answers.classes]
    )


def edit_table(rows) -> pd.DataFrame:
    """How many edits of each kind were made, and why others were not, each reason with its number;
    median_rms of the changes is in the slices' unit.
    """
    made = rows["reason"] == ""

    def counted(reasons):
        counts = reasons[reasons != ""].value_counts()
        return ", ".join(f"{reason} ({n})" for reason, n in counts.items())

    return (
        rows.assign(is_made=made, is_not=~made)
        .groupby(["edit", "infill", "dilation_px", "label"], sort=False, as_index=False)
        .agg(
            made=("is_made", "sum"),
            not_made=("is_not", "sum"),
            reasons=("reason", counted),
            median_rms=("edit_rms", "median"),
        )
    )


def by_class(means, saturated) -> pd.DataFrame:
    """The page's table of scores: a score a row, a class a column."""
    names = SATURATED if saturated else SCORES
    cells = means.assign(cell=[interval(v) for v in means[["effect", "low", "high"]].to_numpy()])
    n_slices = means[means["score"] == "correct"].set_index("group")["n_slices"]
    wide = cells.pivot(index="score", columns="group", values="cell")
    wide = wide.reindex(index=list(names), columns=n_slices.index).rename(index=names).fillna("")
    return pd.concat([n_slices.to_frame("slices").T, wide]).reset_index(names="")


def falls(one) -> pd.DataFrame:
    """The share of slices, in percent, that each class is given to, by edit."""
    rows = stats_rows.headline_rows(one.rows)
    rows = rows[(rows["reason"] == "") & rows["edit"].isin(FALLS)]
    given = rows[[f"p_{name}" for name in one.answers.classes]].to_numpy().argmax(axis=1)
    counts = pd.crosstab(rows["edit"], np.array(one.answers.classes, object)[given])
    counts = counts.reindex([edit for edit in FALLS if edit in counts.index])
    counts = counts.reindex(columns=list(one.answers.classes), fill_value=0)
    share = counts.div(counts.sum(axis=1), axis=0).map("{:.0%}".format)
    share.insert(0, "slices shown", counts.sum(axis=1))
    return share.reset_index()


def controls(one) -> pd.DataFrame:
    """Net-Drop for every infill and dilation that was audited; empty for the headline alone."""
    removed = one.rows.loc[one.rows["edit"] == "remove", ["infill", "dilation_px"]]
    pairs, lines = removed.drop_duplicates(), []
    for infill, dilation in pairs.itertuples(index=False, name=None):
        table = scores.slice_scores(one.rows, infill=infill, dilation_px=dilation)
        e = estimates.mean(table, "net_drop", n_resamples=verdict.N_RESAMPLES)
        if e.n_slices:
            lines.append(
                {
                    "infill": infill,
                    "dilation (px)": dilation,
                    "slices": e.n_slices,
                    "Net-Drop": interval((e.value, e.low, e.high)),
                }
            )
    return pd.DataFrame(lines if len(pairs) > 1 else [])


# -- Sections ----------------------------------------------------------------


def _line(one):
    """A classifier's line of the table side by side."""
    n, share = one.verdict.numbers, verdict.shares(one.answers)
    return {
        "classifier": one.name,
        "verdict": one.verdict.word,
        "accuracy": interval(n["accuracy"]),
        "keep their answer": f"{share['kept']:.0%}",
        "with a sham": f"{share['kept_sham']:.0%}",
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
        parts.append(
            page.picture(
                page.shares(bars),
                (
                    "Slices that keep their answer when their tumor is taken out, and when the "
                    "same shape is taken out elsewhere in the head."
                ),
            )
        )
    parts += [page.element("h2", "Why this verdict"), page.bullets(_reasons(one))]
    if one.where is not None:
        parts += [page.element("h2", "Where it looks"), page.picture(*one.where)]
    parts += _examples(one, examples) if examples is not None and len(counts) else []
    parts += [
        page.element("h2", "Where do slices fall?"),
        page.element(
            "p",
            "The class given to slices under each edit. A class that blank slices fall to is the "
            "classifier's default.",
        ),
        page.table(falls(one)),
    ]
    others = controls(one)
    if len(others):
        parts += [page.element("h2", "Other infills, other dilations"), page.table(others)]
    rms = [f"{v:.3f}" if np.isfinite(v) else "" for v in made["median_rms"]]
    made = made.assign(median_rms=rms).rename(columns=EDITS)
    return [*parts, page.element("h2", "Which edits were made"), page.table(made)]


def _reasons(one):
    n, scale = one.verdict.numbers, one.verdict.numbers["scale"]
    texts = [
        f"Accuracy {interval(n['accuracy'])}; the same answers dealt at random over the slices "
        f"would reach {n['chance']:.2f}: {interval(n['skill'])} above chance"
    ]
    if "effect" not in n:
        return [f"{texts[0]}."]
    texts += [
        f"Effect (in {scale}): {interval(n['effect'])}. Taking the tumor out lowers the slice's "
        f"own class by {interval(n['own'])} beyond a sham; on the other classes' slices the same "
        f"classes drift by {interval(n['drift'])}. The effect is the difference, over all slices",
        f"Patients' labels permuted: {n['p_permuted']:.3f} of the permutations have an effect as "
        f"large; one sham measured against the others: {n['sham_effect']:.3f}",
    ]
    texts += [
        f"{m} {kind}, which know nothing, of the same confidence on the same slices: the largest "
        f"effect is {largest:.3f}, and fewer than one in a hundred would exceed {bound:.3f}"
        for kind, (m, largest, bound) in n["null"].items()
    ]
    texts += [
        "Where little but the tumors differs between slices, any network's answer hangs on them, "
        "and by accident it is often the right one",
        "'Leans' is said only if accuracy and effect pass all of these; 'does not lean' if the "
        f"effect's whole interval is below {verdict.RELEVANT[scale]} ({scale}), a margin that we "
        "chose",
    ]
    return [f"{text}." for text in texts]


def _examples(one, examples):
    """Of the slices at hand, in each class the one at the median of Delta-Drop."""
    known = slice_table(one)
    known = known[known["slice_id"].isin(examples.table["slice_id"]) & known["delta_drop"].notna()]
    if known.empty:
        return []
    ordered = known.sort_values("delta_drop", kind="stable").groupby("label", sort=False)
    shown = ordered["slice_id"].agg(lambda own: own.iloc[(len(own) - 1) // 2])
    chosen = np.flatnonzero(examples.table["slice_id"].isin(shown))[:N_EXAMPLES]
    rows = stats_rows.headline_rows(one.rows[one.rows["reason"] == ""])
    labels, p = scores.arrays(rows)
    rows = rows.assign(p_true=p[np.arange(len(rows)), labels])
    return [
        page.element("h2", "What the classifier was shown"),
        page.picture(
            page.examples(examples, rows, chosen),
            "Of the slices looked at, in each class the one at the median of Delta-Drop; the "
            "number is the probability of its true class.",
        ),
    ]
