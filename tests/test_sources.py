import dataclasses

import pytest
from fake_cheng import dataset, published_12  # noqa: F401

from tumorcf_lib import config
from tumorcf_lib.phantoms import cohort as phantom
from tumorcf_lib.study import sources


def test_a_phantom_profile_draws_the_phantom_at_a_fitting_size(monkeypatch):
    calls = []

    def make_cohort(*args, **kwargs):
        calls.append((args, kwargs))

    monkeypatch.setattr(phantom, "make_cohort", make_cohort)
    demo = config.get("demo")
    sources.load(demo)
    sources.load(dataclasses.replace(demo, size_px=224))
    assert [kwargs for _, kwargs in calls] == [
        {"size_px": 192, "seed": 0}, {"size_px": 256, "seed": 0}
    ]  # fmt: skip
    assert calls[0][0] == (demo.phantom_patients, demo.phantom_slices)


@pytest.mark.usefixtures("published_12")
def test_a_cheng_profile_reads_the_dataset_from_the_folder_named(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    paper = config.get("paper-lite")
    assert len(sources.load(paper, data_dir=folder, cache_dir=tmp_path / "cache")) == 12
    monkeypatch.setenv("TUMORCF_DATA", str(folder))
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    assert len(sources.load(paper)) == 12
    assert list((tmp_path / "runs" / "cache").glob("cheng-*"))


def test_an_unknown_cohort_is_refused():
    with pytest.raises(config.UnknownProfileError, match="'mars'"):
        sources.load(dataclasses.replace(config.get("paper"), cohort="mars"))


def test_the_calibration_profile_is_no_study_of_six_notebooks():
    with pytest.raises(config.UnknownProfileError, match="calibration"):
        sources.load(config.get("calibration"))
