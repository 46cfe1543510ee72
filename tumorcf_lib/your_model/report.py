"""The report of an audit: the row table, the tables made of it, and one HTML page.

Works on the rows alone, for any classifier and any number of classes; slices are only needed
to show some.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles
from tumorcf_lib.figures import forests
from tumorcf_lib.figures import scores as score_figures
from tumorcf_lib.figures import slices as slice_figures
from tumorcf_lib.figures.style import PlotInputError
from tumorcf_lib.publish import html_page as html
from tumorcf_lib.stats import findings, metrics, stats
from tumorcf_lib.study import unit
from tumorcf_lib.tables import study
from tumorcf_lib.your_model.report_tables import (
    better_order,
    claim_table,
    control_table,
    edit_table,
    score_table,
)

PAGE = "report.html"
SHOWN_SCORES = {
    "p_orig": "P of the true class", "delta_drop": "Delta-Drop (tumor removed)",
    "sham_drop": "Sham-Drop (control)", "net_drop": "Net-Drop",
    "delta_focus": "Delta-Focus (tumor only)", "net_focus": "Net-Focus",
    "flipped": "class changes when removed", "sham_flip_rate": "class changes with a sham",
}  # fmt: skip
LIMITS = (
    "An infill is one guess at a slice without a tumor, not the true counterfactual.",
    "A mask marks the lesion as it was drawn. Edema and displaced tissue outside it stay in every "
    "edited slice and may give the class away.",
    "Removing a tumor changes a slice more than removing other tissue does (see the RMS of the "
    "edits), so Net-Drop is an upper bound on what is due to the tumor itself.",
    "A classifier without an answer for 'nothing there' has to fall to some class. A low drop in "
    "the class that blank slices fall to is no evidence that the tumor is ignored.",
    "Intervals say how far other patients may differ. They leave out that another training of the "
    "same network may give another answer.",
    "The masks and labels of the table are taken as true. 'Depends on' is meant for this image "
    "content and this classifier; nothing here is about causes of disease.",
)


class ReportError(ValueError):
    """Rows from which no report can be made."""


def write_report(
    rows, folder, *, cohort=None, title="Does the classifier look at the tumor?", notes=(),
    show_slices=True, n_resamples=2000,
) -> Path:  # fmt: skip
    """Write an audit's rows, tables and a self-contained HTML report into a folder.

    Parameters
    ----------
    rows : DataFrame
        From :func:`edits.audit.audit`, fresh or read back.
    folder : path
        Made if need be. Gets ``report.html``, ``rows.csv``, ``table_scores.csv``,
        ``table_findings.csv`` and ``table_edits.csv`` (numbers with 5 significant digits).
    cohort : Cohort, optional
        What was audited: its ``source`` is quoted and, with ``show_slices``, some slices and
        their edits are shown.
    title : str
    notes : sequence of str
        Sentences on how the audit was made (scale, classifier), quoted at the top.
    show_slices : bool
        The page then **holds pixels of patients**; mind whom you give it to.
    n_resamples : int
        Of the bootstrap over persons.

    Returns
    -------
    pathlib.Path
        The page.
    """
    if not len(rows):
        raise ReportError("Expected an audit's rows, got none. Audit at least one slice.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    classes = metrics.class_names(rows)
    scores = metrics.slice_scores(rows)
    means = score_table(scores, classes, n_resamples=n_resamples)
    claims = claim_table(scores, classes, n_resamples=n_resamples)
    made = edit_table(rows)
    rowfiles.write_table(rows, folder / "rows.csv")
    rowfiles.write_table(means, folder / "table_scores.csv")
    rowfiles.write_table(claims, folder / "table_findings.csv")
    rowfiles.write_table(made, folder / "table_edits.csv")
    parts = [
        *_what(rows, scores, classes, cohort, notes),
        *_answers(claims, scores, classes),
        *_figures(rows, scores, means, classes),
        *_slices(rows, scores, classes, cohort if show_slices else None),
        *_tables(rows, means, claims, made, classes, n_resamples),
        html.heading("Limits"), html.bullets(LIMITS),
        html.paragraph(f"Written by tumorcf {__version__}. Rows and tables lie beside this page as "
                       "CSV files.", "small"),
    ]  # fmt: skip
    page = folder / PAGE
    page.write_text(html.page(title, parts), encoding="utf-8")
    return page


# -- sections ----------------------------------------------------------------


def _what(rows, scores, classes, cohort, notes):
    counts = [
        f"{name}: {(scores['label'] == name).sum()} slices of "
        f"{scores.loc[scores['label'] == name, 'person_id'].nunique()} persons"
        for name in classes
    ]
    n_made = int((rows["reason"] == "").sum())
    removed, sham = scores["p_remove"].notna(), scores["p_sham"].notna()
    texts = [
        *counts,
        f"{n_made} edited slices; {removed.sum()} slices have a tumor that could be taken out, "
        f"{sham.sum()} of them have shams (places by seed {rows['seed'].iloc[0]})",
        *notes,
    ]
    warning = better_order(scores, classes)
    return [
        html.paragraph(
            "Each slice was shown to the classifier as it is, with its tumor taken out, with "
            "nothing but its tumor, and with the same shape taken out elsewhere in the head (a "
            "sham). How far does the probability of the true class move?"
        ),
        html.heading("What was audited"),
        *([html.paragraph(cohort.source)] if cohort is not None and cohort.source else []),
        html.bullets(texts),
        *([html.paragraph(warning, "warning")] if warning else []),
    ]


def _answers(claims, scores, classes):
    """Two claims net of their control, in plain words, for all slices and for each class."""
    asked = claims[(claims["form"] == "net") & (claims["kind"] == "mean")]
    drop = asked[asked["score"] == "net_drop"].set_index("group")
    focus = asked[asked["score"] == "net_focus"].set_index("group")
    accuracy = scores["correct"].mean()
    return [
        html.heading("In plain words"),
        html.paragraph(
            f"Accuracy on the slices as they are: {accuracy:.0%}. Net-Drop is how much further the "
            "probability of the true class falls when the tumor is taken out than when the same "
            "shape is taken out elsewhere, on correctly classified slices; Net-Focus is how much "
            "more of it the tumor alone keeps than the same shape of tumor-free tissue, on all "
            "slices."
        ),
        html.bullets([_in_words(group, drop.loc[group], focus.loc[group], scores)
                      for group in ("all", *classes)], "answers"),
        html.paragraph(
            "Supported: the 95 % interval over persons lies wholly above 0 and Holm's p is below "
            "0.05. Refuted: it lies wholly below 0. Undecided: else, or fewer than "
            f"{stats.MIN_PERSONS} persons in a group. Negligible: the interval lies within "
            f"±{stats.RELEVANT}, a margin that we chose.", "small",
        ),
    ]  # fmt: skip


def _in_words(group, drop, focus, scores):
    name = "All slices" if group == "all" else group
    own = scores if group == "all" else scores[scores["label"] == group]
    if own["p_remove"].isna().all():
        n = len(own)
        return f"{name}: none of its {n} slices has a tumor that could be taken out; no answer."
    words = {
        stats.SUPPORTED: "the decision leans on the tumor",
        stats.REFUTED: "taking the tumor out lowers the probability less than taking other tissue "
        "out does: the decision does not lean on the tumor",
        stats.UNDECIDED: "it is undecided whether the decision leans on the tumor",
    }[drop["verdict"]]
    if drop["relevance"]:
        words = (
            f"taking the tumor out moves the probability by less than {stats.RELEVANT} (negligible)"
        )
    alone = {
        stats.SUPPORTED: "The tumor alone keeps more than other tissue does",
        stats.REFUTED: "The tumor alone keeps less than other tissue does",
        stats.UNDECIDED: "Whether the tumor alone keeps more than other tissue is undecided",
    }[focus["verdict"]]
    if focus["relevance"]:
        alone = "The tumor alone keeps no more than other tissue does (negligible)"
    mind = "".join(f" Mind: {note}." for note in drop["note"].split("; ") if "default" in note)
    return (
        f"{name}: {words}. Net-Drop {_number(drop)}.{mind} {alone}. Net-Focus {_number(focus)}."
    )


def _number(row):
    if not np.isfinite(row["effect"]):
        return "not measured, since no slice qualifies"
    interval = "no interval"
    if np.isfinite(row["low"]):
        interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
    why = ""
    if row["verdict"] == stats.UNDECIDED:
        why = f"; {row['note'].partition(';')[0]}"
    return (
        f"{row['effect']:+.2f} {interval} ({row['n_slices']} slices, {row['n_persons']} "
        f"persons{why})"
    )


def _figures(rows, scores, means, classes):
    # Where all persons agree, rounding may put a bound beyond the mean by the last digit.
    means = means.assign(low=np.minimum(means["low"], means["effect"]),
                         high=np.maximum(means["high"], means["effect"]))  # fmt: skip
    parts = [html.heading("Does taking the tumor out matter more than taking other tissue out?")]
    parts += _picture(
        lambda: forests.headline(means),
        "Fall in the probability of the true class: filled where the tumor was taken out, open "
        "where the same shape was taken out elsewhere. The gap between them is Net-Drop, here over "
        "all slices, misclassified ones too.",
    )
    parts += _picture(
        lambda: score_figures.by_class(scores, means),
        "Every slice, with mean and 95 % interval over persons.",
    )
    parts.append(html.heading("Where do slices fall?"))
    parts += _picture(
        lambda: score_figures.fall_to(study.fall_to(rows)),
        "The class given to slices as they are, with their tumor removed, with nothing but their "
        "background, and blank. A class that blank slices fall to is the classifier's default.",
    )
    return parts


def _picture(draw, caption):
    try:
        return [html.picture(draw(), caption)]
    except PlotInputError as error:  # more classes than there are colors
        return [html.paragraph(f"Figure left out: {error}", "small")]


def _slices(rows, scores, classes, cohort):
    if cohort is None:
        return []
    chosen = _median_slices(scores, classes)
    if chosen.empty:
        return []
    examples = unit.example_edits(cohort, rows, chosen)
    shared = set.intersection(*(set(example["images"]) for example in examples))
    for example in examples:
        example["images"] = {k: v for k, v in example["images"].items() if k in shared}
    return [
        html.heading("What the classifier was shown"),
        *_picture(
            lambda: slice_figures.edits(examples),
            "In each class the slice at the median of Delta-Drop, and its edits; P is the "
            "probability of the true class. Of several shams, the first.",
        ),
    ]


def _median_slices(scores, classes):
    """In each class, the slice at the median of Delta-Drop; those with shams go first."""
    chosen = []
    for name in classes:
        own = scores[(scores["label"] == name) & scores["delta_drop"].notna()]
        own = own[own["net_drop"].notna()] if own["net_drop"].notna().any() else own
        if len(own):
            row = own.sort_values("delta_drop", kind="stable").iloc[(len(own) - 1) // 2]
            chosen.append({"slice_id": row["slice_id"], "label": name, "percentile": 50})
    return pd.DataFrame(chosen)


def _tables(rows, means, claims, made, classes, n_resamples):
    parts = [html.heading("Scores")]
    accuracy = means[means["score"] == "correct"]
    parts += [
        html.paragraph("Accuracy (all) and recall (each class):"),
        html.table(_with_interval(accuracy).drop(columns="score")),
    ]
    shown = means[means["score"].isin(SHOWN_SCORES)]
    shown = shown.assign(score=shown["score"].map(SHOWN_SCORES))
    parts += [html.paragraph("Mean over slices, 95 % interval over persons:"),
              html.table(_with_interval(shown))]  # fmt: skip
    controls = control_table(rows, classes, n_resamples=n_resamples)
    if len(controls.get("infill", ())) > len(classes) + 1:
        parts += [
            html.heading("Other infills, other dilations"),
            html.paragraph("Net-Drop by what is filled in and by how far the mask is grown:"),
            html.table(_with_interval(controls).drop(columns="score")),
        ]
    groups = made.drop(columns=["infill", "dilation_px"]).assign(
        edit=[_edit_name(row) for row in made.itertuples()]
    )
    parts += [
        html.heading("Which edits were made"),
        html.paragraph("With the median RMS of the change over the whole slice, and why others "
                       "were not made."),
        html.table(groups),
        html.heading("The study's findings, tested here"),
        *_picture(lambda: forests.findings(claims[~claims["group"].isin(classes)]),
                  "Claims over all slices; right of the line means as claimed."),
        html.folded("Every claim in words", html.bullets(
            [findings.sentence(row) for row in claims.to_dict("records")], "small")),
    ]  # fmt: skip
    return parts


def _edit_name(row):
    name = row.edit + (f", {row.infill}" if row.infill else "")
    return name + (f", dilated {row.dilation_px} px" if row.dilation_px else "")


def _with_interval(means):
    """A table of means with the interval as one column of text."""
    kept = [name for name in ("infill", "dilation_px", "score", "group") if name in means]
    shown = means[kept].copy()
    shown["mean"] = means["effect"]
    shown["95 % interval"] = [
        f"[{low:.3f}, {high:.3f}]" if np.isfinite(low) else "none"
        for low, high in zip(means["low"], means["high"], strict=True)
    ]
    return shown.assign(slices=means["n_slices"], persons=means["n_persons"])
