import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, run_to_rows, slices_tested

from tumorcf_lib import config, rowfiles
from tumorcf_lib.controls import probes as probes_of
from tumorcf_lib.edits import plan
from tumorcf_lib.study import by_fold, controls, results
from tumorcf_lib.tables import derived

pytestmark = pytest.mark.usefixtures("three_blocks", "small_splits")

P = [f"p_{name}" for name in config.CLASSES]
# fewer patients show too few planes
PROFILE = dataclasses.replace(TINY, phantom_patients=7, finetune_learning_rate=0.5)


@pytest.fixture(scope="module", autouse=True)
def few_probes():
    """One of the probes' networks: each takes seconds to build."""
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(probes_of.all_probes, networks=("mask",))
        patch.setattr(probes_of, "all_probes", few)
        yield


@pytest.fixture(scope="module")
def study(three_blocks, small_splits, tmp_path_factory):
    return run_to_rows(tmp_path_factory.mktemp("run"), PROFILE, finetuned=True)


@pytest.fixture(scope="module")
def makers(study):
    """What makes every control's rows, by the name of the file."""
    names = "04_evaluation", "05_counterfactuals"
    fourth, fifth = (results.Results(study, name, study.folder / name) for name in names)
    prepared, split = by_fold.load_prepared(fourth), fourth.read("01_data", "split")
    rows = by_fold.audit(fifth, prepared)
    planes = controls.planes(fourth, prepared)
    return {
        "rows_planes": lambda: controls.planes(fourth, prepared),
        "rows_probes": lambda: controls.probes(fourth, prepared, split, planes),
        "rows_edits": lambda: by_fold.audit(fifth, prepared),
        "rows_networks": lambda: controls.audit_networks(fifth, prepared),
        "rows_quality": lambda: controls.quality(fifth, prepared, rows),
        "rows_detector": lambda: controls.detector(fifth, prepared, split),
        "covariates": lambda: fifth.save_table(controls.covariates(prepared, rows), "covariates"),
    }


@pytest.fixture(scope="module")
def made(makers):
    return {name: make() for name, make in makers.items()}


def test_both_networks_are_audited_by_the_plan_and_judge_the_plain_ones_edits_otherwise(
    study, made
):
    rows = made["rows_networks"]
    assert set(rows.loc[rows["p_no tumor"].notna(), "network"]) == {"looking"}
    planned = {(edit.name, edit.infill) for edit in plan.network_edits(PROFILE.infills, 1)}
    keys = ["slice_id", "edit", "infill", "dilation_px", "place"]
    both = made["rows_edits"].merge(rows, on=keys, suffixes=("", "_other"))
    assert len(both) == len(rows)
    for column in ("offset_y", "offset_x", "mirrored", "n_pixels", "edit_rms", "reason"):
        assert both[column].equals(both[f"{column}_other"].rename(column)), column
    for network in ("hardened", "looking"):
        own = both[both["network"] == network]
        assert set(own["slice_id"]) == slices_tested(study)
        assert set(own[["edit", "infill"]].itertuples(index=False, name=None)) == planned
        assert own["place"].max() + 1 == PROFILE.n_control_places
        possible = own[own["reason"] == ""]
        gap = np.abs(possible[P].to_numpy() - possible[[f"{p}_other" for p in P]].to_numpy())
        assert gap.max() > 1e-3


def test_planes_are_of_every_slice_and_all_else_of_the_tested_ones(study, made):
    table = rowfiles.read_table(study.folder / "01_data" / "slices.csv")
    assert made["rows_planes"]["slice_id"].tolist() == table["slice_id"].tolist()
    tested = slices_tested(study)
    assert set(made["rows_probes"]["probe"]) == {"mask", *probes_of.STATISTICS}
    by_probe = made["rows_probes"].groupby("probe")["slice_id"]
    assert all(sorted(own) == sorted(tested) for _, own in by_probe)
    assert sorted(made["covariates"]["slice_id"]) == sorted(tested)
    for name in ("rows_detector", "rows_quality"):
        assert set(made[name]["slice_id"]) <= tested, name
    assert set(made["rows_detector"]["infill"]) <= {"navier_stokes", *PROFILE.infills}
    assert {"navier_stokes", "telea"} <= set(made["rows_quality"]["infill"])


def test_all_tables_can_be_made_of_these_rows_which_are_not_made_again(
    study, makers, made, monkeypatch
):
    file = study.folder / "04_evaluation" / "rows_predictions.csv.gz"
    predictions = rowfiles.read_table(file)
    read = made | {"rows_predictions": predictions, "rows_validation": predictions}
    assert all(len(table) for table in derived.derive(read.__getitem__, 20).values())
    slow = "planes.estimate_planes probes.all_probes detector.measure detector.detect".split()
    for name in (*(f"controls.{own}" for own in slow), "study.by_fold.audit_by"):
        monkeypatch.setattr(f"tumorcf_lib.{name}", lambda *_, **__: pytest.fail("made again"))
    for name, make in makers.items():
        pd.testing.assert_frame_equal(make(), made[name])
