"""The report of an audit: rows, tables and one HTML page with the answer first."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles
from tumorcf_lib.your_model import InputError, page, pictures, verdict
from tumorcf_lib.your_model import report_tables as tables
from tumorcf_lib.your_model.report_tables import ALL, interval, score_table

PAGE = "report.html"
WORDS = {
    verdict.LEANS: "The decision leans on the tumor.",
    verdict.DOES_NOT: "The decision does not lean on the tumor.",
    verdict.UNKNOWN: "Whether the decision leans on the tumor cannot be told: {why}.",
}
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
                 notes=(), warnings=(), examples=None) -> Path:  # fmt: skip
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
    warnings : sequence of str
        Of the slices; each audit has its own beside.
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for k, one in enumerate(audits):
        end = f"{k + 1}.csv" if len(audits) > 1 else ".csv"
        rowfiles.write_table(one.rows, folder / f"rows{end}")
        rowfiles.write_table(score_table(one), folder / f"table_scores{end}")
        rowfiles.write_table(tables.edit_table(one.rows), folder / f"table_edits{end}")
    about = [
        {
            "classifier": one.name, "verdict": one.verdict.word, "why": one.verdict.why,
            "warnings": one.warnings, **one.verdict.numbers, **one.about,
        }
        for one in audits
    ]  # fmt: skip
    words = json.dumps(about, indent=1, default=str, ensure_ascii=False)
    (folder / "audit.json").write_text(words, encoding="utf-8")
    parts = []
    for one in audits:
        parts += _answer(one, named=len(audits) > 1)
    told = [*warnings, *(w for one in audits for w in one.warnings)]
    parts += [page.element("p", f"Warning: {text}", "warning") for text in dict.fromkeys(told)]
    parts += _side_by_side(audits) if len(audits) > 1 else []
    for one in audits:
        parts += [page.element("h2", one.name)] if len(audits) > 1 else []
        parts += _sections(one, examples)
    parts += [page.element("h2", "How this was made"),
              *([page.element("p", cohort.source)] if cohort is not None else []),
              page.bullets(notes)]  # fmt: skip
    for one in audits:
        lines = {"classifier": one.name, **one.about, "tumorcf": __version__}
        frame = pd.DataFrame({"what": list(lines), "value": [str(v) for v in lines.values()]})
        parts.append(page.table(frame))
    parts += [page.element("h2", "Limits"), page.bullets(LIMITS, "small")]
    target = folder / PAGE
    target.write_text(page.page(title, parts), encoding="utf-8")
    return target


# -- Sections ----------------------------------------------------------------


def _answer(one, *, named):
    a = one.answers
    words = WORDS[one.verdict.word].format(why=one.verdict.why)
    name = f"{one.name}: " if named else ""
    return [page.element("p", name + verdict.first_line(a, verdict.no_tumor_class(a)), "first"),
            page.element("p", words, "verdict")]  # fmt: skip


def _side_by_side(audits):
    lines = []
    for one in audits:
        a, n = one.answers, one.verdict.numbers
        s = verdict.shares(a, verdict.no_tumor_class(a))
        lines.append({
            "classifier": one.name, "verdict": str(one.verdict),
            "accuracy": interval(n["accuracy"]), "keep their answer": f"{s['kept']:.0%}",
            "with a sham": f"{s['kept_sham']:.0%}",
            "effect": interval(n["effect"]) if "effect" in n else "",
        })  # fmt: skip
    return [page.element("h2", "Side by side"), page.table(pd.DataFrame(lines))]


def _sections(one, examples):
    slices = tables.slice_table(one.rows, one.answers.classes)
    means = score_table(one)
    lead = "_lo" if one.verdict.numbers["scale"] == "log-odds" else ""
    parts = [page.element("h2", "By class"), page.table(tables.by_class(means, slices, lead))]
    edited = slices[slices["kept"].notna()]
    if len(edited):
        groups = [(g, edited if g == ALL else edited[edited["label"] == g])
                  for g in (ALL, *one.answers.classes)]  # fmt: skip
        bars = pd.DataFrame([{"group": g, "slices": len(own), "kept": own["kept"].mean(),
                              "kept_sham": own["kept_sham"].mean()}
                             for g, own in groups if len(own)])  # fmt: skip
        words = (
            "Slices that keep their answer when their tumor is taken out, and when the same shape "
            "is taken out elsewhere in the head."
        )
        parts.append(page.picture(pictures.shares(bars), words))
    parts += [page.element("h2", "Why this verdict"), page.bullets(_reasons(one))]
    if one.where is not None:
        maps, cohort, words = one.where
        parts += [page.element("h2", "Where it looks"),
                  page.picture(pictures.occlusion(maps, cohort), words)]  # fmt: skip
    if examples is not None and len(edited):
        parts += _examples(one, slices, examples)
    parts += [page.element("h2", "Where do slices fall?"), page.element(
        "p", "The class given to slices under each edit, in % of those slices. A class that blank "
        "slices fall to is the classifier's default."), page.table(tables.falls(one))]  # fmt: skip
    controls = tables.controls(one)
    if len(controls):
        parts += [page.element("h2", "Other infills, other dilations"), page.table(controls)]
    made = tables.edit_table(one.rows)
    made["median_rms"] = [f"{v:.3f}" if np.isfinite(v) else "" for v in made["median_rms"]]
    made = made.rename(columns={"dilation_px": "dilation (px)", "median_rms": "RMS"})
    parts += [page.element("h2", "Which edits were made"), page.table(made)]
    return parts


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
    for kind, (m, bound) in n["null"].items():
        texts.append(
            f"{m} {kind}, which know nothing, of the same confidence on the same slices: fewer "
            f"than one in a hundred has an effect beyond {bound:.3f}"
        )
    margin = verdict.RELEVANT[scale]
    texts.append(
        "'Leans' is said only if accuracy and effect pass all of these; 'does not lean' if the "
        f"effect's whole interval is below {margin} ({scale}), a margin that we chose"
    )
    return texts


def _examples(one, slices, examples):
    known = slices[slices["slice_id"].isin(examples.table["slice_id"])]
    known = known[known["delta_drop"].notna()]
    chosen = []
    for _, own in known.groupby("label", sort=False):
        row = own.sort_values("delta_drop", kind="stable").iloc[(len(own) - 1) // 2]
        chosen.append(int(np.flatnonzero(examples.table["slice_id"] == row["slice_id"])[0]))
    if not chosen:
        return []
    rows = one.rows.assign(p_true=tables.true_p(one.rows, one.answers.classes))
    words = (
        "Of the slices looked at, in each class the one at the median of Delta-Drop; the number is "
        "the probability of its true class."
    )
    fig = pictures.examples(examples, rows, chosen[: pictures.N_EXAMPLES])
    return [page.element("h2", "What the classifier was shown"), page.picture(fig, words)]
