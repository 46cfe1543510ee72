"""Ranking and transplants do not know what a network says by default."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.config import CLASSES
from tumorcf_lib.tables import symmetric

P = [f"p_{name}" for name in CLASSES]


def rows_of(p_of, n=6, seed=0, fold=0):
    """Two patients a class with n slices each; p_of(label, edit, k) gives the first class's p."""
    rows = []
    for label, who, k in itertools.product(CLASSES, "ab", range(n)):
        for edit in ("original", "sham", "remove"):
            p = p_of(label, edit, k)
            about = {"slice_id": f"{label}{who}{k}", "person_id": f"{label}{who}", "label": label}
            infill = "" if edit == "original" else "navier_stokes"
            rows.append(about | {"edit": edit, "infill": infill} | dict(zip(P, (p, 1 - p, 0.0))))
    return pd.DataFrame(rows).assign(network="plain", training_seed=seed, fold=fold, dilation_px=0)


def find(table, group, whose, patients="all"):
    chosen = (table["group"] == group) & (table["whose"] == whose) & (table["patients"] == patients)
    return table[chosen].iloc[0]


def test_a_class_named_by_default_loses_ranking_if_its_tumors_tell_it_apart():
    first = CLASSES[0]

    def by_tumor(label, edit, k):  # every empty slice is called the first class: no Net-Drop
        return 0.9 if label == first or edit == "remove" else 0.2

    table = symmetric.auc_table(rows_of(by_tumor))
    assert find(table, first, "own")["loss"] == 0
    assert find(table, first, "others'")["loss"] == pytest.approx(0.5)  # ties count half
    assert find(table, first, "all")["auc"] == pytest.approx(1)


def test_auc_is_that_of_a_loop_over_pairs_in_which_every_patient_counts_the_same():
    rng = np.random.default_rng(0)
    rows = rows_of(lambda *_: round(rng.random(), 1))
    rows = rows[~rows["slice_id"].isin([f"{CLASSES[0]}a{k}" for k in range(1, 6)])]
    got = find(symmetric.auc_table(rows), CLASSES[0], "own")
    wide = rows.pivot(index=["slice_id", "person_id", "label"], columns="edit", values=P[0])
    wide = wide.reset_index()

    def auc(edit):
        own, others = wide[wide["label"] == CLASSES[0]], wide[wide["label"] != CLASSES[0]]
        return np.mean(
            [
                np.mean([(p > q) + 0.5 * (p == q) for p in a[edit] for q in b["original"]])
                for _, a in own.groupby("person_id")
                for _, b in others.groupby("person_id")
            ]
        )

    assert got["auc"] == pytest.approx(auc("original"))
    assert got["loss"] == pytest.approx(auc("sham") - auc("remove"))


def transplants(called):
    """One host a class and donor class, two patients each, called by a rule."""
    rows = []
    for host, donor, who in itertools.product(CLASSES, CLASSES, "ab"):
        donor_id = f"{host}{who}" if host == donor else f"{donor}x"
        about = {"slice_id": f"{host}{who}", "person_id": f"{host}{who}", "label": host}
        about |= {"donor_slice_id": donor_id, "donor_label": donor, "reason": ""}
        rows.append(about | dict.fromkeys(P, 0.1) | {f"p_{called(host, donor)}": 0.8})
    return pd.DataFrame(rows).assign(network="plain", training_seed=0, fold=0)


@pytest.mark.parametrize("cue", ["tumor", "head"])
def test_who_reads_tumors_follows_them_and_who_reads_heads_follows_heads(cue):
    rows = transplants(lambda host, donor: donor if cue == "tumor" else host)
    table = symmetric.transplants_table(rows)
    conflict = table[table["kind"] == "conflict"]
    assert (conflict["tumor"] == (cue == "tumor")).all()
    assert (conflict["head"] == (cue == "head")).all()
    control = table[table["kind"] == "control"]
    assert (control["tumor"] == 1).all() and control["head"].isna().all()
    assert len(conflict) == 1 + 3 + 6 and len(control) == 1 + 3
    rows.loc[rows["donor_label"] == "glioma", "reason"] = "the tumor fits nowhere in this head"
    table = symmetric.transplants_table(pd.concat([rows, rows.assign(network="shuffled")]))
    assert set(table["network"]) == {"plain"}
    assert table[table["donor"] == "glioma"]["n_patients"].eq(0).all()


def with_noise(rng, n_folds, n_seeds, network):
    """Losses of folds whose networks differ by a shift of the first class's removed slices."""
    parts = []
    for fold, seed in np.ndindex(n_folds, n_seeds):
        shift = 0.3 * rng.standard_normal()

        def p_of(label, edit, k, shift=shift):
            own = label == CLASSES[0]
            return 0.5 + rng.standard_normal() * 0.2 + own * (0.3 + (edit == "remove") * shift)

        rows = rows_of(p_of, seed=seed, fold=fold).assign(network=network)
        parts.append(rows.assign(person_id=rows["person_id"] + f"{fold}"))
    return pd.concat(parts)


def test_networks_that_differ_widen_the_interval_once_and_a_single_seed_has_it_from_the_null():
    rng = np.random.default_rng(1)
    several, nothing = with_noise(rng, 4, 3, "plain"), with_noise(rng, 4, 2, "shuffled")
    alone = several[several["training_seed"] == 0]
    fixed, of_null, of_several = (
        find(table[table["network"] == "plain"], CLASSES[0], "own")
        for table in map(symmetric.auc_table, (alone, pd.concat([alone, nothing]), several))
    )
    widths = [row["high"] - row["low"] for row in (fixed, of_null, of_several)]
    assert widths[1] > max(widths[0], widths[2])
    assert np.isnan(fixed["null_low"]) and of_several["n_seeds"] == 3
    assert of_null["n_null"] == 8 and of_null["null_low"] < 0 < of_null["null_high"]
