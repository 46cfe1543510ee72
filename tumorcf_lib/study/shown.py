"""Small tables for people: what notebooks show of the tables that they save."""

import numpy as np
import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.edits.scores import arrays
from tumorcf_lib.figures.controls import PROBE_NAMES
from tumorcf_lib.figures.style import EDIT_NAMES
from tumorcf_lib.stats.rows import headline_rows
from tumorcf_lib.study import pooled, reading, side_studies
from tumorcf_lib.study.side_studies import band, interval, p_value
from tumorcf_lib.tables import study as tables
from tumorcf_lib.tables.fold_scores import PLAIN

MEASURES = {
    ("slice", "accuracy"): "slices: called right",
    ("slice", "balanced accuracy"): "slices: mean over classes",
    ("slice", "ROC AUC"): "slices: ROC AUC",
    ("slice", "ECE"): "slices: calibration error",
    ("person", "accuracy"): "patients: called right",
    ("person", "balanced accuracy"): "patients: mean over classes",
}
PROBES = {
    "original": "the whole slice",
    "background": "the slice, tumor cut out",
    "remove": "the slice, tumor painted out",
    "silhouette": "the tumor's silhouette",
    **{name: words for name, words in PROBE_NAMES.items() if name != "mask"},
}


def performance(results, table, name) -> pd.DataFrame:
    """A run's accuracy beside the paper's, the patients' and, of an own run, the published one."""
    if name == "table_classes":
        names = {("slice", k, "recall"): f"{k}: called right" for k in config.CLASSES}
    else:
        names = {(level, "all", metric): words for (level, metric), words in MEASURES.items()}
    shown = pd.DataFrame({"": names.values()})
    paper = tables.PAPER
    shown["paper (ResNet-50)"] = [f"{paper[key]:.2f}" if key in paper else "" for key in names]
    sources = {
        "real slices, all folds": side_studies.published(tables.POOLED)(name),
        "real slices, one split": side_studies.published("paper-lite")(name),
    }
    keys = ["level", "group", "metric"]
    for words, found in {**sources, **_runs(results, table, name)}.items():
        by = found.drop_duplicates(keys).set_index(keys)  # of several seeds, the first
        shown[words] = [interval(by.loc[key], form=".2f") for key in names]
    return shown


def probes(results, table) -> pd.DataFrame:
    """Balanced accuracy of networks and statistics that see less than the slice."""
    who, (own,) = reading.patients("table_probes")
    found = {who: own[own["network"] != "as it is"]}
    found |= _runs(results, table, "table_information")
    shown = pd.DataFrame({"what is shown or measured": PROBES.values()})
    for words, own in found.items():
        own = own[(own["group"] == "all") & (own["metric"] == "balanced accuracy")]
        by = own.drop_duplicates("probe").set_index("probe")
        shown[words] = [interval(by.loc[k], form=".2f") if k in by.index else "" for k in PROBES]
    return shown


def edits(rows) -> pd.DataFrame:
    """Of every edit: how many were made, how much it changes, and what the network says."""
    own = headline_rows(rows)
    own = own[~own["edit"].str.endswith("_refit") & (own["edit"] != "sham_only")]
    labels, p = arrays(own)
    made = own["reason"] == ""
    right = np.where(made, p.argmax(axis=1) == labels, np.nan)
    own = own.assign(made=made, p=p[np.arange(len(own)), labels], right=right)
    by = own.groupby("edit", sort=False)
    found = {
        "made": by["made"].sum(),
        "not possible": by.size() - by["made"].sum(),
        "change (SD of the slice)": by["edit_rms"].median(),
        "mean P of the true class": by["p"].mean(),
        "still called right": by["right"].mean(),
    }
    names = EDIT_NAMES | {"sham_matched": "sham of like change"}
    return pd.DataFrame(found).rename(names).reset_index()


def claims(results, table, number) -> pd.DataFrame:
    """One finding's primary claims on the patients, and what this run says of the same.

    ``table``: this run's ``table_claims``. A number of an own run whose interval lies on another
    side of 0 than the published run's is marked.
    """
    primary = pooled.plain(side_studies.published(tables.POOLED)("table_primary"))
    primary = primary[primary["finding"] == number]
    runs = _runs(results, table, "table_claims")
    runs = {words: own.set_index("claim") for words, own in runs.items()}
    lines = []
    for row in primary.to_dict("records"):
        line = {"claim": row["claim"], "real slices, all folds": interval(row) or "not measured"}
        if primary["null_low"].notna().any():
            line["networks that know nothing"] = band(row)
        line["verdict"] = row["verdict"]
        if np.isfinite(row["p_holm"]):
            line["verdict"] += f" (p {p_value(row['p_holm'], '= ')})"  # among all claims
        own = {words: run.reindex([row["claim"]]).iloc[0] for words, run in runs.items()}
        line |= {words: interval(found) or "not measured" for words, found in own.items()}
        if len(own) == 2:
            now, was = map(_side, own.values())
            line["since published"] = f"**changed**: {was} to {now}" if now != was else "the same"
        lines.append(line)
    return pd.DataFrame(lines)


def _side(row):
    """Where a number's interval lies."""
    if not np.isfinite(row["low"]):
        return "no interval"
    return "above 0" if row["low"] > 0 else "below 0" if row["high"] < 0 else "on both sides of 0"


def _runs(results, table, name) -> dict:
    """This run's table and, beside an own run, the published one of its profile."""
    runs = {reading.whose(results): table}
    profile = results.study.profile.name
    if not results.is_published and (read := side_studies.published(profile)):
        runs[f"published ({profile})"] = read(name)
    return runs


def _patients_and_run(results, name, stage="06_metrics"):
    """The patients' published table and this run's, by words on whose they are."""
    who, (own,) = reading.patients(name)
    return {who: own, reading.whose(results): results.read(stage, name)}


def drift(results) -> pd.DataFrame:
    """What each class loses when its own, or the others', tumors are removed, less shams."""
    lines = {name: {"class": name} for name in config.CLASSES}
    whose = {"own": "own", "others": "others'"}
    for words, table in _patients_and_run(results, "table_drift").items():
        for row in table[table["group"].isin(config.CLASSES)].to_dict("records"):
            lines[row["group"]][f"{words}: {whose[row['slices']]} tumors removed"] = interval(row)
    return pd.DataFrame(lines.values())


def agreement(results) -> str:
    """Whether infills agree on which slices drop, on the patients and in this run."""
    told = ["Do the infills rank the slices alike? Kendall's W is 1 for one ranking."]
    sources = _patients_and_run(results, "table_infill_agreement", "05_counterfactuals")
    for words, table in sources.items():
        own = table[(table["score"] == "net_drop") & (table["group"] == "all")]
        for row in own.head(1).to_dict("records"):
            w, n = interval(row, "kendall_w"), row["n_infills"]
            whose = words[0].upper() + words[1:]
            told.append(f"**{whose}**: {w} for {n} infills, {row['chance']:.2f} by chance.")
    return " ".join(told)


def words(table, names) -> pd.DataFrame:
    """Some columns of a table under other names; values with ends of an interval as one text."""
    shown = table[list(names)].copy()
    for name in names:
        if f"{name}_low" in table:
            shown[name] = [interval(row, name) for row in table.to_dict("records")]
    shown = shown.rename(columns=names)
    return shown.map(lambda v: v.replace("_", " ") if isinstance(v, str) else v)


def folds(table) -> pd.DataFrame:
    """Accuracy of every fold: of seed 0, and from the lowest to the highest of several seeds."""
    names = {
        "slice_accuracy": "slices called right",
        "person_accuracy": "patients called right",
        "ece": "calibration error",
        "ece_temperature": "after a temperature",
    }
    by = table[table["network"] == PLAIN].groupby("fold")
    shown = pd.DataFrame({"fold": list(by.groups), "patients": by["n_persons"].first().to_numpy()})
    for name, said in names.items():
        ends = zip(by[name].min(), by[name].max(), by.size(), strict=True)
        shown[said] = [low if n == 1 else f"{low:.3f} to {high:.3f}" for low, high, n in ends]
    return shown


def still_right(table) -> pd.DataFrame:
    """Share of slices still called right after an edit, by group."""
    own = table[table["network"] == PLAIN]
    edits = ["original", "sham", "remove", "only", "background", "blank"]
    wide = own.pivot(index="group", columns="edit", values="share")
    wide = wide.loc[list(dict.fromkeys(own["group"])), edits].rename(columns=EDIT_NAMES)
    return wide.rename_axis(None, axis=1).rename_axis("patients").reset_index()
