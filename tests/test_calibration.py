"""The calibration: its tables against slow loops, its networks, and a small run of everything."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.networks import ignorant, speed
from tumorcf_lib.publish import texts
from tumorcf_lib.stats import persons as drawing
from tumorcf_lib.study import calibration, side_studies, unit
from tumorcf_lib.tables import calibration as tables

NETWORKS = ("rho 0", "rho 0.5", "rho 1", "random 01", "random 02", "random 03")


@pytest.fixture(scope="module")
def rows():
    """Made-up audits: 12 persons of 3 classes, 2 slices each, Net-Drop lower for higher rho."""
    rng = np.random.default_rng(0)
    made = []
    for network in NETWORKS:
        fall = 0.0 if network.startswith("random") else 0.4 * (1 - float(network[4:]))
        for i in range(24):
            label = "ABC"[i // 2 % 3]
            for edit, place in (("original", -1), ("remove", -1), ("sham", 0), ("sham", 1)):
                p = 0.8 - fall * (edit == "remove") + rng.normal(0, 0.05)
                row = {"network": network, "slice_id": f"s{i}", "person_id": f"p{i // 2}"}
                row |= {"label": label, "edit": edit, "place": place, "dilation_px": 0}
                row |= {"infill": "" if edit == "original" else "navier_stokes"}
                row |= {f"p_{c}": p if c == label else (1 - p) / 2 for c in "ABC"}
                made.append(row | {"log_odds": np.log(p / (1 - p))})
    return rowfiles.round_trip(pd.DataFrame(made))


@pytest.fixture(scope="module")
def scores(rows):
    return tables.network_scores(rows)


def net_drop(rows, network, slice_id, column="p"):
    """By its definition: mean over shams minus the removed."""
    own = rows[(rows["network"] == network) & (rows["slice_id"] == slice_id)]
    value = own["log_odds"] if column == "lo" else own[f"p_{own['label'].iloc[0]}"]
    return value[own["edit"] == "sham"].mean() - value[own["edit"] == "remove"].mean()


def test_scores_are_those_of_each_network_alone(rows, scores):
    for row in scores.iloc[::17].itertuples():
        expected = net_drop(rows, row.network, row.slice_id)
        assert row.net_drop == pytest.approx(expected, abs=1e-6)
    assert scores.groupby("network").size().eq(24).all()
    assert set(scores["kind"]) == {"planted", "random weights"}


def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_in_order(rows, scores):
    table = tables.separation_table(scores, n_resamples=100).set_index(["scale", "group"])
    for scale, column in (("probability", "p"), ("log-odds", "lo")):
        for group in ("all", "B"):
            ids = [f"s{i}" for i in range(24) if group in ("all", "ABC"[i // 2 % 3])]
            reader = [net_drop(rows, "rho 0", s, column) for s in ids]
            shortcut = [net_drop(rows, "rho 1", s, column) for s in ids]
            wins = [(a > b) + 0.5 * (a == b) for a in reader for b in shortcut]
            assert table.loc[(scale, group), "auc"] == pytest.approx(np.mean(wins))


def test_the_interval_of_the_area_draws_persons_for_both_networks_at_once():
    """Two networks that differ: the resamples, drawn again by the slow general form."""
    rng = np.random.default_rng(3)
    persons, labels = np.repeat(np.arange(12), 2).astype(str), np.repeat(np.arange(12) % 3, 2)
    reader, shortcut = rng.normal(0.8, 1, 24), rng.normal(0, 1, 24)
    people = pd.DataFrame({"person_id": persons, "label": labels})
    found = tables._separation(reader, shortcut, people, 300)

    def area(index):
        pairs = reader[index][:, None] - shortcut[index]
        return np.mean((pairs > 0) + 0.5 * (pairs == 0))

    drawn = drawing.people_of(people)
    slow = [
        area(np.repeat(np.arange(24), counts[drawn.owner].astype(int)))
        for counts in drawn.draw(300)
    ]
    low, high = drawing.interval(np.array(slow), 12, 9)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_null_has_networks_as_its_unit(scores):
    table = tables.null_table(scores).set_index(["kind", "scale", "group"])
    random = scores[scores["kind"] == "random weights"]
    means = [random.loc[random["network"] == f"random 0{k}", "net_drop"].mean() for k in (1, 2, 3)]
    row = table.loc[("random weights", "probability", "all")]
    assert row["n_networks"] == 3 and row["effect"] == pytest.approx(np.mean(means))
    assert row["sd"] == pytest.approx(np.std(means, ddof=1))
    assert np.isnan(table.loc[("random weights", "log-odds", "all"), "margin"])
    assert "planted" not in table.index.get_level_values("kind")


def test_differences_between_neighbors_are_taken_slice_by_slice(rows, scores):
    table = tables.trend_table(scores, n_resamples=100)
    pick = (table["scale"] == "log-odds") & (table["group"] == "C")
    effects = table[pick].set_index("comparison")["effect"]
    ids = [f"s{i}" for i in range(24) if i // 2 % 3 == 2]
    expected = [net_drop(rows, "rho 0", s, "lo") - net_drop(rows, "rho 0.5", s, "lo") for s in ids]
    assert effects["rho 0 - rho 0.5"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert list(effects.index) == ["rho 0 - rho 0.5", "rho 0.5 - rho 1", "slope"]


# -- networks ----------------------------------------------------------------


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
    found = keras.Model(backbone.input, wanted).predict_on_batch(slices[..., None])
    for output in found:
        assert np.abs(output.mean(axis=(0, 1, 2))).mean() < 0.15
        assert np.abs(output.std(axis=(0, 1, 2)) - 1).mean() < 0.15
    assert all(norm.momentum == 0.9 for norm in norms)


# -- the whole ---------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(small_networks, tmp_path_factory):
    few = {"RHOS": (0.0, 1.0), "N_RANDOM": 1, "N_SHUFFLED": 1, "TEST_PATIENTS": 3, "TEST_SLICES": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in few.items():
            patch.setattr(calibration, name, value)
        folder = tmp_path_factory.mktemp("calibration")
        calibration.run(folder, PROFILE, progress=lambda line: None)
        yield folder


def test_a_run_writes_every_networks_audit_and_makes_a_lost_one_again_without_training(
    finished, monkeypatch
):
    rows, lines = rowfiles.read_table(finished / "rows_calibration.csv.gz"), []
    assert list(dict.fromkeys(rows["network"])) == ["rho 0", "rho 1", "random 01", "shuffled 01"]
    assert rows[rows["edit"] == "original"].groupby("network").size().eq(9).all()
    assert not list(finished.rglob("checkpoint.npz"))
    monkeypatch.setattr(unit, "fit", lambda *_, **__: pytest.fail("trained again"))
    calibration.run(finished, PROFILE, progress=lines.append)
    assert lines == []
    kept = finished / "units" / "rho 0" / unit.ROWS / "rows.csv.gz"
    before = kept.read_bytes()
    shutil.rmtree(kept.parent)
    calibration.run(finished, PROFILE, progress=lines.append)
    assert kept.read_bytes() == before and lines == ["rho 0"]
    pd.testing.assert_frame_equal(rowfiles.read_table(finished / "rows_calibration.csv.gz"), rows)


def test_test_persons_are_in_no_training_cohort():
    tested = calibration.congruent_cohort(PROFILE, n_patients=3, n_slices=1)
    cohort, _ = calibration.training_cohort(PROFILE, 0.5)
    assert not set(tested.persons) & set(cohort.persons)
    assert not {s.tobytes() for s in tested.slices} & {s.tobytes() for s in cohort.slices}


def test_what_is_published_can_be_recomputed_and_a_changed_number_is_found(finished, tmp_path):
    target = calibration.STUDY.publish(finished, tmp_path / "calibration", profile=PROFILE)
    problems, recomputed = side_studies.wrong_tables(target, calibration.STUDY.derive)
    assert problems == [] and "table_separation" in recomputed
    manifest = json.loads((target / "manifest.json").read_text())
    assert set(manifest["sha256"]) == {p.name for p in target.iterdir()} - {"manifest.json"}
    assert len(texts.known(target)) == 5
    table = rowfiles.read_table(target / "table_null.csv")
    assert set(table["cohort"]) == {"calibration phantom"}
    rowfiles.write_table(table.assign(effect=table["effect"] + 0.1), target / "table_null.csv")
    assert side_studies.wrong_tables(target, calibration.STUDY.derive)[0]
