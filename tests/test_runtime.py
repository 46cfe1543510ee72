"""What surrounds a run: its profile, its header, the memory that other kernels hold."""

import dataclasses
import os
import sys
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from fake_cheng import NAMES, dataset

from tumorcf_lib import config
from tumorcf_lib.data import finding
from tumorcf_lib.phantoms import cohort as phantoms
from tumorcf_lib.study import made_by, runtime


@pytest.mark.parametrize(
    ("dataset", "gpu", "profile"),
    [(False, True, "demo"), (True, False, "paper-lite"), (True, True, "paper")],
)
def test_dataset_and_gpu_decide_the_profile(monkeypatch, dataset, gpu, profile):
    monkeypatch.setattr(runtime.finding, "find", lambda _: mock.Mock(is_enough=dataset))
    monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
    name, why = runtime.choose_profile()
    assert name == profile and f"--profile {'demo' if dataset else 'paper-lite'}" in why


@pytest.mark.parametrize("seed", [-1, 2**32, "3"])
def test_a_seed_that_is_none_is_refused_by_name(seed):
    with pytest.raises(runtime.ParameterError, match=r"SEED to be a whole number .*papermill: -p"):
        runtime.start("smoke", seed)


def test_a_parameter_of_papermill_in_small_letters_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "profile", "smoke", raising=False)
    with pytest.raises(runtime.ParameterError, match="got 'profile': papermill -p PROFILE"):
        runtime.start("demo", 0)


def test_where_memory_is_short_kernels_to_shut_down_are_named(monkeypatch, tmp_path, capsys):
    """A machine of 2 GB with one other kernel, one server, this process, and one that is gone."""
    monkeypatch.setenv("MEM_LIMIT", "2000000000")
    monkeypatch.setattr(runtime, "CGROUP_LIMITS", ())
    monkeypatch.setattr(runtime, "PROCESSES", tmp_path)
    kernel = "python\0-m\0ipykernel_launcher"
    for pid, command in (11, kernel), (12, "jupyter-lab"), (os.getpid(), kernel):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_text(command)
        n_pages = 1_200_000_000 // os.sysconf("SC_PAGE_SIZE")
        (tmp_path / str(pid) / "statm").write_text(f"999999 {n_pages} 7 0")
    (tmp_path / "13").mkdir()
    runtime.warn_if_tight()
    out, said = capsys.readouterr()
    assert "hold 1.2 GB of the 2.0 GB" in said and out == ""  # which published notebooks show


@pytest.mark.usefixtures("published_12")
def test_what_is_made_of_a_part_of_the_dataset_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TUMORCF_DATA", str(dataset(tmp_path / "data")))
    monkeypatch.setenv("TUMORCF_PARTIAL", "1")
    study = runtime.Study(config.get("paper-lite"), 0, tmp_path)
    runtime.find_dataset(study, is_auto=False)
    assert "A part of" not in capsys.readouterr().out and study.tag == ""
    (tmp_path / "data" / NAMES[1]).unlink()
    runtime.find_dataset(study, is_auto=False)
    assert capsys.readouterr().out.endswith("A part of the dataset: 9 of 12 slices.\n")
    assert study.tag == "a part of the dataset: 3 slices missing"


@pytest.mark.usefixtures("published_12")
@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_bad_archive_is_not_passed_over_for_the_phantom(tmp_path, monkeypatch, study, harm):
    folder = dataset(tmp_path / "data")
    monkeypatch.setenv("TUMORCF_DATA", str(folder))
    monkeypatch.setattr(config, "names_data_folder", lambda: False)  # as data/ of the repository
    bad = folder / NAMES[1]
    bad.unlink() if harm == "missing" else os.truncate(bad, 100)
    with pytest.raises(finding.DatasetNotFoundError, match=r"holds 9 of its 12 slices.*Missing"):
        runtime.find_dataset(study, is_auto=True)
    runtime.find_dataset(study, is_auto=False)  # the phantom was asked for


@pytest.mark.usefixtures("published_12")
def test_a_cheng_profile_reads_the_dataset_from_the_folder_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TUMORCF_DATA", str(dataset(tmp_path / "data")))
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    assert len(runtime.load(config.get("paper-lite"))) == 12
    assert list((tmp_path / "runs" / "cache").glob("cheng-*"))


def test_a_phantom_is_drawn_once_and_read_as_it_was_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path))
    profile = dataclasses.replace(config.get("smoke"), phantom_patients=1)
    drawn = phantoms.make_cohort(1, profile.phantom_slices, size_px=192, seed=0)
    runtime.load(profile)
    monkeypatch.setattr(phantoms, "make_cohort", None)
    loaded = runtime.load(profile)
    np.testing.assert_array_equal(loaded.slices, drawn.slices)
    np.testing.assert_array_equal(loaded.masks, drawn.masks)
    pd.testing.assert_frame_equal(loaded.table, drawn.table, check_dtype=False)
    assert (loaded.classes, loaded.source) == (drawn.classes, drawn.source)
    monkeypatch.setattr(made_by, "packages", lambda: "others")
    with pytest.raises(TypeError, match="NoneType"):  # it would be drawn anew
        runtime.load(profile)
