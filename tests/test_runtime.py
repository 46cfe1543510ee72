import pytest

from tumorcf_lib import config
from tumorcf_lib.data import published
from tumorcf_lib.study import runtime


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose dataset and GPU a test decides on."""

    def choose(dataset, gpu):
        monkeypatch.setattr(runtime.finding, "has_dataset", lambda folder: dataset)
        monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
        return runtime.choose_profile()

    return choose


@pytest.mark.parametrize(
    ("dataset", "gpu", "profile"),
    [
        (False, False, "demo"),
        (False, True, "demo"),
        (True, False, "paper-lite"),
        (True, True, "paper"),
    ],
)
def test_the_dataset_decides_the_cohort_and_the_gpu_the_network(machine, dataset, gpu, profile):
    name, why = machine(dataset, gpu)
    assert name == profile
    other = "--profile paper" if not dataset else "--profile demo"
    assert other in why


def test_auto_asks_the_machine_and_a_name_does_not(machine):
    machine(False, False)
    assert runtime.resolve("auto").name == "demo"
    assert runtime.resolve("paper").name == "paper"
    with pytest.raises(config.UnknownProfileError, match="smoke, demo"):
        runtime.resolve("big")


def test_the_header_names_cohort_profile_seed_device_and_versions(capsys):
    study = runtime.start("smoke", 7)
    shown = capsys.readouterr().out
    assert study.profile.name == "smoke"
    assert study.folder == config.runs() / "smoke"
    for words in ("phantom", "profile   smoke", "seed      7", "cores", "Python 3", "keras "):
        assert words in shown


def test_phantom_runs_carry_a_tag_and_real_ones_do_not(study):
    assert "phantom" in study.tag
    real = runtime.Study(config.get("paper-lite"), 0, study.folder)
    assert real.tag == ""


def test_the_header_calls_an_unlisted_copy_unlisted(monkeypatch, study):
    monkeypatch.setattr(
        published, "describe", lambda folder, cache_dir: "3064 slices, an unlisted copy"
    )
    real = runtime.Study(config.get("paper-lite"), 0, study.folder)
    assert "an unlisted copy" in runtime.header(real, "CPU")


def test_seeds_repeat_the_global_generators():
    import random

    import numpy as np

    runtime.start("smoke", 3)
    first = random.random(), np.random.rand()
    runtime.start("smoke", 3)
    assert (random.random(), np.random.rand()) == first
