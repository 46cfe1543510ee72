"""The calibration: its tables against slow loops, its networks, and a small run of everything."""

import dataclasses
import itertools
import shutil
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest
from fake_rows import audit_rows
from statsmodels.stats.weightstats import DescrStatsW

from tumorcf_lib import config, rowfiles
from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits import plan
from tumorcf_lib.networks import ignorant, speed
from tumorcf_lib.publish import publish, sections
from tumorcf_lib.stats import persons as drawing
from tumorcf_lib.study import calibration, side_studies, unit
from tumorcf_lib.tables import calibration as tables

RHOS, N_EACH = (0, 0.5, 1), 3
NETWORKS = calibration.network_names(RHOS, N_EACH, 3, 0)


@pytest.fixture(scope="module")
def rows():
    """Made-up audits: 12 persons of 3 classes, 2 slices each, Net-Drop lower for higher rho."""
    rng, made = np.random.default_rng(0), []
    for seed, network in enumerate(NETWORKS):
        fall = 0.0 if network.startswith("random") else 0.4 * (1 - tables.rho_of(network))
        fall *= rng.uniform(0.7, 1.3)  # trainings differ
        own = audit_rows(dict.fromkeys(CLASSES, fall), n_persons=4, n_slices=2, seed=seed)
        made.append(own[own["edit"].isin(("original", "remove", "sham"))].assign(network=network))
    return rowfiles.round_trip(pd.concat(made))


@pytest.fixture(scope="module")
def scores(rows):
    return tables.network_scores(rows)


@pytest.fixture(scope="module")
def drops(rows):
    """Net-Drop by its definition, mean over shams minus the removed: a row a slice, a column a
    network, on both scales."""
    p_true = [row[f"p_{row['label']}"] for _, row in rows.iterrows()]
    found = {}
    for scale, values in ("probability", p_true), ("log-odds", rows["log_odds"]):
        by_edit = {"index": "slice_id", "columns": ["edit", "network"]}
        means = rows.assign(value=values).pivot_table("value", **by_edit)
        found[scale] = means["sham"] - means["remove"]
    return found


def named(kind):
    return [f"{kind} 0{k}" for k in range(1, N_EACH + 1)]


@pytest.mark.parametrize("scale", ["probability", "log-odds"])
def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_in_order(scores, drops, scale):
    table = tables.separation_table(scores, n_resamples=100).set_index(["scale", "group"])
    own_class = drops[scale].filter(like="glioma", axis=0)
    for group, own in (("all", drops[scale]), ("glioma", own_class)):
        pairs = []
        for reader, shortcut in itertools.product(named("rho 0"), named("rho 1")):
            both = itertools.product(own[reader], own[shortcut])
            pairs.append(np.mean([(a > b) + (a == b) / 2 for a, b in both]))
        row = table.loc[(scale, group)]
        assert row["n_pairs"] == len(pairs) and row["auc"] == pytest.approx(np.mean(pairs))
        assert (row["smallest"], row["largest"]) == pytest.approx((min(pairs), max(pairs)))


def test_the_interval_of_the_area_draws_persons_for_both_networks_at_once():
    """Two networks that differ: the resamples, drawn again by the slow general form."""
    rng = np.random.default_rng(3)
    persons, labels = np.repeat(np.arange(12), 2).astype(str), np.repeat(np.arange(12) % 3, 2)
    reader, shortcut = rng.normal(0.8, 1, 24), rng.normal(0, 1, 24)
    people = pd.DataFrame({"person_id": persons, "label": labels})
    both = pd.concat([people, people], ignore_index=True)
    both = both.assign(network=np.repeat(["rho 0 01", "rho 1 01"], 24), slice_id=[*range(24)] * 2)
    both = both.assign(net_drop=[*reader, *shortcut], net_drop_lo=0.0)
    found = tables.separation_table(both, n_resamples=300).iloc[0]

    def area(index):
        pairs = reader[index][:, None] - shortcut[index]
        return np.mean((pairs > 0) + 0.5 * (pairs == 0))

    drawn = drawing.people_of(people)
    counts = (of_persons[drawn.owner].astype(int) for of_persons in drawn.draw(300))
    slow = np.array([area(np.repeat(np.arange(24), n)) for n in counts])
    low, high = drawing.interval(slow, 12, 9)
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))


def test_the_null_has_networks_as_its_unit(scores, drops):
    table = tables.null_table(scores).set_index(["kind", "score", "group"])
    means = drops["probability"][named("random")].mean()
    row = table.loc[("random weights", "net_drop", "all")]
    assert row["n_networks"] == 3 and row["effect"] == pytest.approx(np.mean(means), abs=1e-6)
    assert row["sd"] == pytest.approx(np.std(means, ddof=1), abs=1e-6)
    of_t = DescrStatsW(means).tconfint_mean(alpha=0.1)
    assert (row["low"], row["high"]) == pytest.approx(of_t, abs=1e-6)
    assert np.isnan(table.loc[("random weights", "net_drop_lo", "all"), "margin"])
    assert "planted" not in table.index.get_level_values("kind")


def test_differences_between_neighbors_are_taken_slice_by_slice_and_count_networks(scores, drops):
    table = tables.trend_table(scores)
    own = table[(table["scale"] == "log-odds") & (table["group"] == "all")]
    own = own.set_index("comparison")
    assert list(own.index) == ["rho 0 - rho 0.5", "rho 0.5 - rho 1", "slope"]
    first, second = (drops["log-odds"][named(rho)].to_numpy() for rho in ("rho 0", "rho 0.5"))
    row, of_network = own.loc["rho 0 - rho 0.5"], (first - second).mean(axis=0)
    assert row["effect"] == pytest.approx(of_network.mean(), abs=1e-4)
    assert row["n_networks"] == N_EACH and row["n_patients"] == 12
    least = of_network.std(ddof=1) / np.sqrt(N_EACH)  # what networks alone would leave open
    assert row["low"] < row["effect"] - least < row["effect"] + least < row["high"]


def test_planted_scores_fall_with_rho_and_edits_that_were_not_asked_have_no_line(scores):
    table = tables.planted_table(scores)
    by = table[(table["score"] == "net_drop") & (table["group"] == "all")].set_index("rho")
    for rho, row in by.iterrows():
        own = scores[scores["network"].isin(named(f"rho {rho:g}"))]
        assert row["effect"] == pytest.approx(own["net_drop"].mean(), abs=1e-9)
    assert by["effect"].is_monotonic_decreasing and (by["n_networks"] == N_EACH).all()
    assert "net_focus" not in set(table["score"])


def test_a_transplant_into_another_class_is_counted_by_rho():
    def row(network, slice_id, donor, called):
        own = {"network": network, "slice_id": slice_id, "person_id": slice_id, "label": "A"}
        own |= {"donor_slice_id": f"of {donor}", "donor_label": donor, "reason": ""}
        return own | {"depth_px": 5, "donor_depth_px": 3} | {f"p_{c}": c == called for c in "ABC"}

    reader = [row("rho 0 01", "1", "B", "B"), row("rho 0 01", "2", "C", "C")]
    shortcut = [row("rho 1 01", "1", "B", "A"), row("rho 1 01", "2", "C", "B")]
    rows = tables.planted_scores(pd.DataFrame([*shortcut, *reader]))
    table = tables.transplants_table(rows, by="rho", classes=["A", "B", "C"])
    own = table.query("kind == 'conflict' and donor == 'all' and host == 'all'").set_index("rho")
    assert own["tumor"].to_list() == [1, 0] and own["head"].to_list() == [0, 0.5]
    assert own["neither"].to_list() == [0, 0.5] and (own["depth_gap_px"] == 2).all()


SMALL = {"size_px": 64, "phantom_patients": 5, "phantom_slices": 2, "epochs": 1, "batch_size": 8}
SMALL |= {"warmup_epochs": 1, "n_places": 2, "n_control_places": 1, "n_resamples": 50}
PROFILE = dataclasses.replace(config.get("calibration"), **SMALL)


def test_fitted_norms_standardize_what_random_weights_send_them():
    more = dataclasses.replace(PROFILE, phantom_patients=16)
    slices = calibration.training_cohort(more, 0.0)[0].slices
    model = ignorant.random_network(PROFILE, slices, n_classes=3, seed=4)
    norms = speed.norm_layers(model)
    backbone = model.get_layer("efficientnet_lite0")
    wanted = [norms[0].output, norms[len(norms) // 2].output]
    for output in keras.Model(backbone.input, wanted).predict_on_batch(slices[..., None]):
        assert np.abs(output.mean(axis=(0, 1, 2))).mean() < 0.15
        assert np.abs(output.std(axis=(0, 1, 2)) - 1).mean() < 0.15


@pytest.fixture(scope="module")
def finished(small_networks, tmp_path_factory):
    few = {"RHOS": (0.0, 1.0), "TEST_PATIENTS": 3, "TEST_SLICES": 1}
    few |= {"N_PLANTED": 2, "N_RANDOM": 1, "N_SHUFFLED": 1}
    folder = tmp_path_factory.mktemp("calibration")
    with mock.patch.multiple(calibration, **few):
        calibration.run(folder, PROFILE, progress=lambda line: None)
        yield folder


def test_every_network_is_audited_and_a_lost_audit_made_again_untrained(finished, monkeypatch):
    rows, lines = rowfiles.read_table(finished / "rows_calibration.csv.gz"), []
    planted = ["rho 0 01", "rho 0 02", "rho 1 01", "rho 1 02"]
    assert list(dict.fromkeys(rows["network"])) == [*planted, "random 01", "shuffled 01"]
    asked = {edit.name for edit in plan.HEADLINE_EDITS}
    assert set(rows["edit"]) == asked  # so that every score has a null
    first, second = (rows.loc[rows["network"] == name, "p_A"].to_numpy() for name in planted[:2])
    assert not np.array_equal(first, second)
    assert rows[rows["edit"] == "original"].groupby("network").size().eq(9).all()
    moved = rowfiles.read_table(finished / calibration.MOVED)  # itself and one of each other class
    assert moved.groupby("network").size().to_dict() == dict.fromkeys(planted, 27)
    monkeypatch.setattr(unit, "fit", lambda *_, **__: pytest.fail("trained again"))
    kept = finished / "units" / "rho 0 01" / unit.ROWS / calibration.ROWS
    before = kept.read_bytes()
    shutil.rmtree(kept.parent)
    calibration.run(finished, PROFILE, progress=lines.append)
    assert kept.read_bytes() == before and lines == ["rho 0 01"]  # all others are as they were
    pd.testing.assert_frame_equal(rowfiles.read_table(finished / "rows_calibration.csv.gz"), rows)


def test_test_persons_are_in_no_training_cohort():
    tested = calibration.congruent_cohort(PROFILE, n_patients=3, n_slices=1)
    cohort, _ = calibration.training_cohort(PROFILE, 0.5)
    assert not set(tested.persons) & set(cohort.persons)
    assert not {s.tobytes() for s in tested.slices} & {s.tobytes() for s in cohort.slices}


def test_what_is_published_names_its_phantoms_and_can_be_recomputed(finished, tmp_path):
    target = calibration.STUDY.publish(finished, tmp_path / "calibration", profile=PROFILE)
    assert publish.verify(target)[0] == []
    assert len(sections.sentences("known", side_studies.reader(target))) == 6
    assert set(rowfiles.read_table(target / "table_null.csv")["cohort"]) == {"calibration phantom"}
