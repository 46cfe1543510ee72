"""Net-Drop under every control: does it hang on one choice of the edit, the slices, the scale?

A specification curve (Simonsohn, Simmons and Nelson, Nature Human Behaviour 2020): every
variant of the analysis that a skeptic might ask for, each with its estimate, and per group one
sentence on how far they go. Variants change one factor at a time, and none of them is a claim.
"""

import numpy as np
import pandas as pd

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.stats import estimates, rows as stats_rows
from tumorcf_lib.tables import controls, energy
from tumorcf_lib.tables.classifiers import LOOKING, of_network

ABOVE, BELOW, AROUND = "above 0", "below 0", "includes 0"
"""Where a variant's whole interval lies."""
CORRECT = "correct slices only"
DROP_EDITS = ("original", "remove", "original_refit", "remove_refit", "sham")


def tables(rows, rows_networks=None, *, judged=None, n_resamples):
    """Drift, energy, and the specification curve: the controls that an audit's rows allow."""
    robust = robustness_table(rows, rows_networks, judged=judged, n_resamples=n_resamples)
    return {
        "table_drift": controls.drift_table(rows, n_resamples=n_resamples),
        "table_energy": energy.energy_table(rows, n_resamples=n_resamples),
        "table_robustness": robust,
        "table_survival": survival(robust),
    }


def robustness_table(rows, rows_networks=None, *, judged=None, n_resamples):
    """Net-Drop by every variant of the analysis, overall and by class.

    Columns: variant, family, scale ("probability" or "log-odds"), group, effect, low, high,
    n_slices, n_persons, lies ("above 0", "below 0", "includes 0": where the interval is; empty
    without one). Every variant has a row for every group. Other infills
    and dilations are compared with shams of their own; "map refitted" gives the original and the
    removed slice intensity maps of their own, the shams keep the frozen one. ``judged``: by
    slice_id, whether another training calls the slice right; without it, the same network judges
    (and slices that are chosen by the network whose fall is measured fall by chance alone).

    >>> rows = pd.DataFrame({
    ...     "slice_id": [i for i in range(12) for _ in range(3)], "patient_id": "",
    ...     "person_id": [c for c in "abcdefghijkl" for _ in range(3)], "label": "glioma",
    ...     "edit": ["original", "remove", "sham"] * 12, "place": [-1, -1, 0] * 12,
    ...     "infill": ["", "navier_stokes", "navier_stokes"] * 12, "dilation_px": 0,
    ...     "edit_rms": [0, 0.2, 0.1] * 12, "p_glioma": [0.9, 0.3, 0.8] * 12,
    ...     "p_none": [0.1, 0.7, 0.2] * 12, "log_odds": [2.2, -0.8, 1.4] * 12})
    >>> robustness_table(rows, n_resamples=50).loc[0, ["variant", "lies"]].tolist()
    ['headline', 'above 0']
    """
    how = {"groups": stats_rows.groups(rows), "n_resamples": n_resamples}
    parts = [
        stats_rows.means(scores, column, **how | own).assign(variant=name, family=family)
        for name, family, scores, column, own in _variants(rows, rows_networks, judged)
    ]
    table = pd.concat(parts, ignore_index=True)
    is_lo = table["score"].str.endswith("_lo")
    table["scale"] = np.where(is_lo, stats_rows.LOG_ODDS, stats_rows.PROBABILITY)
    where = [table["low"] > 0, table["high"] < 0, table["low"].notna()]
    table["lies"] = np.select(where, [ABOVE, BELOW, AROUND], "")
    return table[["variant", "family", "scale", "group", *stats_rows.NUMBERS, "lies"]]


def survival(table):
    """How far the variants go in each group: group, sentence.

    On the probability scale. The network that was trained to need the tumor ("looking") is no
    control of the study's network and is left out.
    """
    lines = []
    for group, own in table.groupby("group", sort=False):
        headline = own.loc[own["family"] == "headline", "effect"].iloc[0]
        looking = own["variant"].str.startswith(LOOKING)
        own = own[~looking & (own["scale"] == stats_rows.PROBABILITY) & own["low"].notna()]
        above, below = ((own["lies"] == word).sum() for word in (ABOVE, BELOW))
        low, high = own["effect"].min(), own["effect"].max()
        who = "All classes together" if group == stats_rows.ALL else group.capitalize()
        sentence = (
            f"{who}: Net-Drop {headline:.3f}; over {len(own)} variants of the analysis {low:.3f} "
            f"to {high:.3f}, the whole interval above 0 in {above}, below 0 in {below}."
        )
        lines.append((group, sentence))
    return pd.DataFrame(lines, columns=["group", "sentence"])


def _variants(rows, rows_networks, judged):
    """(name, family, scores of slices, column, how to average it), one factor at a time."""
    by_energy = energy.slice_energy(rows)
    rows, net = rows[rows["edit"].isin(DROP_EDITS)], "net_drop"
    scores = slice_scores(rows)
    yield "headline", "headline", scores, net, {}
    right = scores["correct"] if judged is None else scores["slice_id"].isin(judged.index[judged])
    yield CORRECT, "slices", scores[right.to_numpy(bool)], net, {}
    yield "every patient alike", "slices", scores, net, {"how": estimates.mean_of_persons}
    if "flag" in rows:
        flagged = (rows["edit"] == "sham") & (rows["flag"].fillna("") != "")
        yield "shams off the skull", "shams", slice_scores(rows[~flagged]), net, {}
    yield "shams of like energy", "energy", by_energy, "net_drop_matched", {}
    residual = {"how": energy.residual}
    yield "adjusted by regression", "energy", by_energy, "net_drop_residual", residual
    for infill in _other_infills(rows):
        yield infill.replace("_", " "), "infill", slice_scores(rows, infill=infill), net, {}
    for dilation in sorted(set(rows["dilation_px"]) - {0}):
        grown = f"mask {'grown' if dilation > 0 else 'shrunk'} by {abs(dilation)} px"
        yield grown, "dilation", slice_scores(rows, dilation_px=dilation), net, {}
    yield "log-odds", "scale", scores, "net_drop_lo", {}
    if scores["delta_drop_refit"].notna().any():
        refit = scores["delta_drop_refit"] - scores["sham_drop"]
        yield "map refitted", "scale", scores.assign(refit=refit), "refit", {}
    for network in [] if rows_networks is None else dict.fromkeys(rows_networks["network"]):
        own = of_network(rows_networks, network)
        own = own[own["edit"].isin(DROP_EDITS)]
        yield network, "network", slice_scores(own), net, {}
        for infill in _other_infills(own):
            name = f"{network} ({infill.replace('_', ' ')})"
            yield name, "network", slice_scores(own, infill=infill), net, {}


def _other_infills(rows):
    return [name for name in dict.fromkeys(rows["infill"]) if name not in ("", HEADLINE_INFILL)]
