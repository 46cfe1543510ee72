"""The tables of an audit's report: rows in, DataFrame out, for any classes."""

import numpy as np
import pandas as pd

from tumorcf_lib.edits import scores
from tumorcf_lib.your_model import verdict

ALL = "all"


def true_p(rows, classes):
    """Probability of each row's true class."""
    p = rows[[f"p_{name}" for name in classes]].to_numpy(float)
    return p[np.arange(len(rows)), pd.Index(classes).get_indexer(rows["label"])]


def interval(value, digits=2) -> str:
    """A mean and its interval, as the page shows it."""
    mean, low, high = value
    if not np.isfinite(low):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def score_table(one) -> pd.DataFrame:
    """Means of every score, over all slices and by class, with intervals over patients.

    Returns
    -------
    DataFrame
        group, score, effect, low, high, n_slices, n_persons. Scores on log-odds end in ``_lo``;
        "correct" is the accuracy (all) or the recall (a class).
    """
    slices, found = slice_table(one.rows, one.answers.classes), []
    for group in (ALL, *one.answers.classes):
        own = slices if group == ALL else slices[slices["label"] == group]
        for score in slices.columns[3:]:
            values = own[own[score].notna()]
            if len(values):
                mean = verdict.over_patients(values[score].to_numpy(float),
                                             values["person_id"].to_numpy(str),
                                             values["label"].to_numpy(str))  # fmt: skip
                found.append((group, score, *mean, len(values), values["person_id"].nunique()))
    columns = ["group", "score", "effect", "low", "high", "n_slices", "n_persons"]
    return pd.DataFrame(found, columns=columns)


def slice_table(rows, classes) -> pd.DataFrame:
    """One row of scores a slice, at the headline infill and dilation."""
    p = rows[[f"p_{name}" for name in classes]].to_numpy(float)
    rows = rows.assign(p_true=true_p(rows, classes), given=np.nan_to_num(p, nan=-1).argmax(1))
    here = rows["infill"].isin(("", "navier_stokes")) & (rows["dilation_px"] == 0)
    rows = rows[here & (rows["reason"] == "")]
    table = rows[rows["edit"] == "original"][["slice_id", "person_id", "label"]]
    table = table.reset_index(drop=True)
    first = rows[rows["edit"] == "original"].set_index("slice_id")["given"]
    table["correct"] = (first.to_numpy() == pd.Index(classes).get_indexer(table["label"])) * 1.0
    same = (rows["given"].to_numpy() == first.reindex(rows["slice_id"]).to_numpy()) * 1.0
    for name, value in (("p", rows["p_true"]), ("lo", rows["log_odds"]), ("kept", same)):
        wide = rows.assign(value=value).groupby(["slice_id", "edit"])["value"].mean().unstack()
        wide = wide.reindex(table["slice_id"]).reset_index(drop=True)
        get = wide.get
        nothing = pd.Series(np.nan, wide.index)
        remove, sham, only = (get(edit, nothing) for edit in ("remove", "sham", "only"))
        if name == "kept":
            table["kept"], table["kept_sham"] = remove, sham
            continue
        end = "" if name == "p" else "_lo"
        table[f"{name}_orig"] = get("original", nothing)
        table[f"delta_drop{end}"] = scores.delta_drop(table[f"{name}_orig"], remove)
        table[f"sham_drop{end}"] = scores.sham_drop(table[f"{name}_orig"], sham)
        table[f"net_drop{end}"] = table[f"delta_drop{end}"] - table[f"sham_drop{end}"]
        table[f"delta_focus{end}"] = only
        table[f"net_focus{end}"] = only - get("sham_only", nothing)
    return table


def edit_table(rows) -> pd.DataFrame:
    """How many edits of each kind were made, and why others were not.

    Returns
    -------
    DataFrame
        edit, infill, dilation_px, label, made, not_made, reasons (each with its number),
        median_rms of the changes (in the slices' unit).
    """
    keys, table = ["edit", "infill", "dilation_px", "label"], []
    for key, own in rows.groupby(keys, sort=False):
        reasons = own.loc[own["reason"] != "", "reason"].value_counts()
        made = own["edit_rms"].dropna()
        table.append({
            **dict(zip(keys, key, strict=True)), "made": len(own) - int(reasons.sum()),
            "not_made": int(reasons.sum()),
            "reasons": ", ".join(f"{reason} ({n})" for reason, n in reasons.items()),
            "median_rms": made.median() if len(made) else np.nan,
        })  # fmt: skip
    return pd.DataFrame(table)


def by_class(means, slices, lead) -> pd.DataFrame:
    """The page's table of scores: a group a row; ``lead`` is "_lo" where log-odds come first."""
    names = {"correct": "accuracy, recall", "kept": "keep answer without tumor",
             "kept_sham": "with a sham", "p_orig": "P of the true class",
             "delta_drop": "Delta-Drop", "sham_drop": "Sham-Drop", "net_drop": "Net-Drop",
             "delta_focus": "Delta-Focus"}  # fmt: skip
    if lead:  # probabilities near 1 cannot move: log-odds lead
        names |= {"delta_drop": "Delta-Drop (P)", "sham_drop": "Sham-Drop (P)",
                  "net_drop": "Net-Drop (P)"}  # fmt: skip
        names = {"correct": names.pop("correct"), "kept": names.pop("kept"),
                 "kept_sham": names.pop("kept_sham"), "net_drop_lo": "Net-Drop (log-odds)",
                 "delta_drop_lo": "Delta-Drop (log-odds)", **names}  # fmt: skip
    lines = []
    for group, own in means.groupby("group", sort=False):
        n = len(slices) if group == ALL else int((slices["label"] == group).sum())
        line = {"group": group, "slices": str(n)}
        by_score = own.set_index("score")
        for score, title in names.items():
            has = score in by_score.index
            values = by_score.loc[score, ["effect", "low", "high"]] if has else None
            line[title] = interval(values) if has else ""
        lines.append(line)
    return pd.DataFrame(lines)


def falls(one) -> pd.DataFrame:
    """The share of slices, in percent, that each class is given to, by edit."""
    lines = []
    rows = one.rows[one.rows["reason"] == ""]
    p = rows[[f"p_{name}" for name in one.answers.classes]].to_numpy(float)
    for edit in ("original", "remove", "sham", "only", "background", "blank"):
        here = (rows["edit"] == edit) & (rows["dilation_px"] == 0)
        given = p[here.to_numpy()].argmax(axis=1)
        if len(given):
            share = np.bincount(given, minlength=p.shape[1]) / len(given)
            to = {c: f"{100 * s:.0f}" for c, s in zip(one.answers.classes, share, strict=True)}
            lines.append({"edit": edit, "slices": str(len(given)), **to})
    return pd.DataFrame(lines)


def controls(one) -> pd.DataFrame:
    """Net-Drop for every infill and dilation that was audited; empty for the headline alone."""
    rows = one.rows[one.rows["reason"] == ""]
    rows, lines = rows.assign(p=true_p(rows, one.answers.classes)), []
    pairs = rows.loc[rows["edit"] == "remove", ["infill", "dilation_px"]].drop_duplicates()
    for infill, dilation in pairs.itertuples(index=False, name=None):
        own = rows[(rows["infill"] == infill) & (rows["dilation_px"] == dilation)]
        wide = own.groupby(["slice_id", "person_id", "label", "edit"])["p"].mean().unstack()
        if "sham" in wide:
            wide = wide.dropna(subset=["sham", "remove"]).reset_index()
        if "sham" not in wide or wide.empty:
            continue
        who = wide["person_id"].to_numpy(str), wide["label"].to_numpy(str)
        mean = verdict.over_patients((wide["sham"] - wide["remove"]).to_numpy(), *who)
        lines.append({"infill": infill, "dilation (px)": str(dilation), "slices": str(len(wide)),
                      "Net-Drop": interval(mean)})  # fmt: skip
    return pd.DataFrame(lines if len(pairs) > 1 else [])
