"""The controls on every fold, in miniature: a few phantom slices of 32 pixels."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, allow_small_splits, run_to_rows, slices_tested

from tumorcf_lib import config, rowfiles
from tumorcf_lib.controls import detector, probes as probes_of, quality as quality_of
from tumorcf_lib.edits import plan
from tumorcf_lib.study import by_fold, controls, results
from tumorcf_lib.tables import derived

pytestmark = pytest.mark.usefixtures("three_blocks")

P = [f"p_{name}" for name in config.CLASSES]
PROFILE = dataclasses.replace(
    TINY,
    phantom_patients=7,
    finetune_learning_rate=0.5,  # fewer persons show too few planes
)
NETWORKS_TRIED = ("mask",)  # of the probes: each takes seconds to build


@pytest.fixture(autouse=True)
def small_split_is_fine(monkeypatch):
    allow_small_splits(monkeypatch)
    few = functools.partial(probes_of.all_probes, networks=NETWORKS_TRIED)
    monkeypatch.setattr(probes_of, "all_probes", few)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The tiny study with fine-tuned networks, predicted and audited by the plain one."""
    with pytest.MonkeyPatch.context() as patch:
        allow_small_splits(patch)
        return run_to_rows(tmp_path_factory.mktemp("run"), PROFILE, finetuned=True)


def _stage(study, name):
    """A finished stage's results, to add files to."""
    return results.Results(study, name, study.folder / name)


@pytest.fixture(scope="module")
def made(study):
    """Every control's rows by the name of its file."""
    with pytest.MonkeyPatch.context() as patch:
        allow_small_splits(patch)
        few = functools.partial(probes_of.all_probes, networks=NETWORKS_TRIED)
        patch.setattr(probes_of, "all_probes", few)
        fourth = _stage(study, "04_evaluation")
        prepared, split = by_fold.load_prepared(fourth), fourth.read("01_data", "split")
        planes = controls.planes(fourth, prepared)
        probes = controls.probes(fourth, prepared, split, planes)
        fifth = _stage(study, "05_counterfactuals")
        rows = by_fold.audit(fifth, prepared)
        return {
            "rows_predictions": rowfiles.read_table(fourth.folder / "rows_predictions.csv.gz"),
            "rows_planes": planes,
            "rows_probes": probes,
            "rows_edits": rows,
            "rows_networks": controls.audit_networks(fifth, prepared),
            "rows_quality": controls.quality(fifth, prepared, rows),
            "rows_detector": controls.detector(fifth, prepared, split),
            "covariates": fifth.save_table(controls.covariates(prepared, rows), "covariates"),
        }


def test_both_networks_are_audited_with_the_planned_edits_on_the_slices_tested(study, made):
    rows = made["rows_networks"]
    assert list(rows.columns) == [*made["rows_edits"].columns, "network", "p_no tumor"]
    has_no_tumor = rows["p_no tumor"].notna()
    assert set(rows.loc[has_no_tumor, "network"]) == {"looking"} and has_no_tumor.any()
    planned = {(edit.name, edit.infill) for edit in plan.network_edits(PROFILE.infills, 1)}
    assert list(dict.fromkeys(rows["network"])) == ["hardened", "looking"]
    for _, own in rows.groupby("network"):
        assert set(own["slice_id"]) == slices_tested(study)
        assert set(own[["edit", "infill"]].itertuples(index=False, name=None)) == planned
        assert set(own["dilation_px"]) == {0}
        assert own["place"].max() + 1 == PROFILE.n_control_places


def test_the_networks_see_the_plain_networks_edits_and_judge_them_otherwise(made):
    keys = ["slice_id", "edit", "infill", "dilation_px", "place"]
    both = made["rows_edits"].merge(made["rows_networks"], on=keys, suffixes=("", "_other"))
    assert len(both) == len(made["rows_networks"])
    for column in ("offset_y", "offset_x", "mirrored", "n_pixels", "edit_rms", "reason"):
        assert both[column].equals(both[f"{column}_other"].rename(column)), column
    possible = both[both["reason"] == ""]
    for _, own in possible.groupby("network"):
        gap = np.abs(own[P].to_numpy() - own[[f"{p}_other" for p in P]].to_numpy())
        assert gap.max() > 1e-3


def test_planes_are_estimated_for_every_slice_and_probes_for_the_tested_ones(study, made):
    table = rowfiles.read_table(study.folder / "01_data" / "slices.csv")
    planes = made["rows_planes"]
    assert planes["slice_id"].tolist() == table["slice_id"].tolist()
    assert list(planes.columns[:4]) == ["slice_id", "person_id", "label", "plane"]
    probes = made["rows_probes"]
    assert list(probes.columns) == ["slice_id", "person_id", "label", "probe", *P, "fold"]
    assert set(probes["probe"]) == {*NETWORKS_TRIED, *probes_of.STATISTICS}
    for _, own in probes.groupby("probe"):
        assert len(own) == len(slices_tested(study))
        assert set(own["slice_id"]) == slices_tested(study)


def test_detector_quality_and_covariates_are_about_slices_tested_alone(study, made):
    tested = slices_tested(study)
    assert list(made["rows_detector"].columns) == [*detector.COLUMNS, "fold"]
    assert list(made["rows_quality"].columns) == list(quality_of.COLUMNS)
    columns = ["slice_id", "area_px", "area_share", "contrast"]
    assert list(made["covariates"].columns) == columns
    for name in ("rows_detector", "rows_quality", "covariates"):
        assert set(made[name]["slice_id"]) <= tested, name
    assert set(made["covariates"]["slice_id"]) == tested
    assert made["covariates"]["slice_id"].is_unique
    assert set(made["rows_detector"]["infill"]) <= {"navier_stokes", *PROFILE.infills}
    assert {"navier_stokes", "telea"} <= set(made["rows_quality"]["infill"])


def test_all_tables_can_be_made_of_these_rows(made):
    read = {**made, "rows_validation": made["rows_predictions"]}
    tables = derived.derive(read.__getitem__, 20)
    assert all(len(table) for table in tables.values())


@pytest.mark.parametrize("name", ["planes", "probes", "audit_networks", "quality", "detector"])
def test_finished_rows_are_not_made_again(study, made, monkeypatch, name):
    made_by = {
        "planes": "controls.planes.estimate_planes",
        "probes": "controls.probes.all_probes",
        "quality": "controls.quality.measure",
        "detector": "controls.detector.detect",
        "audit_networks": "study.by_fold.audit_by",
    }
    monkeypatch.setattr(f"tumorcf_lib.{made_by[name]}", lambda *_, **__: pytest.fail("again"))
    early = name in ("planes", "probes")
    stage = _stage(study, "04_evaluation" if early else "05_counterfactuals")
    split = stage.read("01_data", "split")
    arguments = {
        "planes": (None,),
        "probes": (None, split, made["rows_planes"]),
        "audit_networks": (None,),
        "quality": (None, made["rows_edits"]),
        "detector": (None, split),
    }
    again = getattr(controls, name)(stage, *arguments[name])
    file = "rows_networks" if name == "audit_networks" else f"rows_{name}"
    pd.testing.assert_frame_equal(again, made[file])
