"""What several test files share: studies in scratch folders."""

import os
from unittest import mock

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; read when NumPy is loaded
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest

from tumorcf_lib import config, steps
from tumorcf_lib.data import archives
from tumorcf_lib.study import runtime

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def study(tmp_path):
    """A smoke study whose runs/ folder is a scratch folder."""
    return runtime.Study(config.get("smoke"), 0, tmp_path / "smoke")


@pytest.fixture
def published_12(monkeypatch):
    """As if the published dataset were the 12 slices of fake_cheng."""
    from fake_cheng import NAMES

    small = tuple(archive._replace(name=name) for archive, name in zip(archives.PUBLISHED, NAMES))
    monkeypatch.setattr(archives, "PUBLISHED", small)
    monkeypatch.setattr(archives, "N_PUBLISHED", 12)
    monkeypatch.setattr(archives, "owner", lambda number: mock.ANY)
    monkeypatch.delenv("TUMORCF_PARTIAL", raising=False)


@pytest.fixture(scope="module")
def three_blocks():
    """Lite0, with random weights, of its first three kinds of block: four times as fast."""
    from tumorcf_lib.controls import detector
    from tumorcf_lib.networks import backbones

    kinds = [(1, *stage[1:]) for stage in backbones.LITE0_STAGES[:3]]
    read = ("block1_depthwise_relu6", "block2_depthwise_relu6")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "LITE0_STAGES", kinds)
        patch.setitem(detector.BLOCKS, "efficientnet_lite0", read)
        yield


@pytest.fixture(scope="module")
def small_splits():
    """Splits of a few persons pass, which the guard's own tests (test_split) would refuse."""
    import tiny_study

    with tiny_study.small(networks=False):
        yield


@pytest.fixture(scope="module")
def small_networks():
    """The same, and networks of two layers in place of backbones."""
    import tiny_study

    with tiny_study.small():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The tiny study from slices to rows with fine-tuned networks, made once for all workers:
    tests that write take a copy."""
    import tiny_study

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny_run"
    with steps.held(folder.with_name("tiny_run.lock"), wait_s=600), tiny_study.small():
        if not folder.exists():
            with steps.being_filled(folder) as new:
                tiny_study.run_to_rows(new, finetuned=True)
    return runtime.Study(tiny_study.TINY, 0, folder)
