import dataclasses
import os
import platform
import subprocess
import sys

import pytest
from fake_cheng import dataset, published_12  # noqa: F401

from tumorcf_lib import config
from tumorcf_lib.data import published
from tumorcf_lib.phantoms import cohort as phantom
from tumorcf_lib.study import notebooks, runtime


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
    with pytest.raises(config.UnknownProfileError, match="smoke, .*demo"):
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


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "3", True, None])
def test_a_seed_that_is_none_is_refused_by_name(seed):
    with pytest.raises(runtime.ParameterError, match=r"SEED to be a whole number .*papermill: -p"):
        runtime.start("smoke", seed)


def test_a_parameter_in_small_letters_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "profile", "smoke", raising=False)
    with pytest.raises(runtime.ParameterError, match="capitals, got 'profile': papermill -p PROF"):
        runtime.start("auto", 0)


def test_what_is_made_of_a_part_of_the_dataset_says_so(monkeypatch, study, tmp_path):
    monkeypatch.setenv("TUMORCF_PARTIAL", "1")
    monkeypatch.setenv("TUMORCF_DATA", str(tmp_path))
    part = runtime.Study(config.get("paper-lite"), 0, study.folder)
    assert part.tag == "a part of the dataset: 3064 slices missing"
    assert "phantom" in study.tag


def test_seeds_repeat_the_global_generators():
    import random

    import numpy as np

    runtime.start("smoke", 3)
    first = random.random(), np.random.rand()
    runtime.start("smoke", 3)
    assert (random.random(), np.random.rand()) == first


# -- memory ------------------------------------------------------------------

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def small_machine(monkeypatch, tmp_path):
    """A machine of 2 GB with one other kernel, one server, this process, and one that is gone."""
    monkeypatch.setenv("MEM_LIMIT", "2000000000")
    monkeypatch.setattr(runtime, "CGROUP_LIMITS", ())
    monkeypatch.setattr(runtime, "PROCESSES", tmp_path)
    for pid, command, n_bytes in (
        (11, b"python\0-m\0ipykernel_launcher", 1_200_000_000), (12, b"jupyter-lab", 150_000_000),
        (os.getpid(), b"python\0-m\0ipykernel_launcher", 900_000_000), (13, None, 0),
    ):  # fmt: skip
        (tmp_path / str(pid)).mkdir()
        if command is not None:
            (tmp_path / str(pid) / "cmdline").write_bytes(command)
            (tmp_path / str(pid) / "statm").write_text(f"999999 {n_bytes // PAGE} 7 0")
    return tmp_path


def test_only_other_kernels_count(small_machine):
    assert runtime.held_by_others() == 1_200_000_000 // PAGE * PAGE


def test_where_memory_is_short_a_reader_is_told_what_to_shut_down(small_machine, capsys):
    runtime.warn_if_tight()
    shown = capsys.readouterr()
    assert "hold 1.2 GB of the 2.0 GB" in shown.err
    assert "Shut Down All Kernels" in shown.err
    assert shown.out == ""  # published notebooks show the standard output


def test_a_run_from_a_terminal_says_so_too(small_machine, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(notebooks, "_make", lambda *_: {"minutes": 0})
    notebooks.run(runtime.Study(config.get("smoke"), 0, tmp_path / "smoke"))
    shown = capsys.readouterr().err
    assert "a run needs most of it" in shown and "give the same command again" in shown


def test_with_enough_memory_or_no_other_kernel_nothing_is_said(small_machine, monkeypatch, capsys):
    monkeypatch.setenv("MEM_LIMIT", "8000000000")
    runtime.warn_if_tight()
    monkeypatch.setenv("MEM_LIMIT", "2000000000")
    (small_machine / "11" / "statm").write_text("9 9 9")
    runtime.warn_if_tight()
    assert capsys.readouterr().err == ""


def test_the_smallest_limit_counts_and_none_is_infinite(monkeypatch, tmp_path):
    new, old = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    monkeypatch.setattr(runtime, "CGROUP_LIMITS", (new, old))
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    new.write_text("max\n")
    assert runtime.memory_limit() == float("inf")
    old.write_text("2147483648\n")
    monkeypatch.setenv("MEM_LIMIT", "4000000000.0")
    assert runtime.memory_limit() == 2147483648


HEAPS = """
import ctypes, re, sys, threading
from tumorcf_lib.study import runtime
if sys.argv[1] == "one":
    assert runtime.share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
ready = threading.Barrier(4)
def work():
    libc.malloc(1000)
    ready.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(ctypes.c_void_p(file))
print(len(re.findall("<heap nr", open(sys.argv[2]).read())))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_all_threads_share_one_heap_once_that_is_asked_for(tmp_path):
    heaps = {}
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    for how in ("many", "one"):
        done = subprocess.run(
            [sys.executable, "-c", HEAPS, how, str(tmp_path / how)], cwd=config.ROOT,
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        heaps[how] = int(done.stdout)
    assert heaps["many"] > heaps["one"] == 1


def test_a_system_without_that_setting_goes_without(monkeypatch):
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: object())
    assert runtime.share_one_heap() is False


# -- where slices come from ---------------------------------------------------


def test_a_phantom_profile_draws_the_phantom_at_a_fitting_size(monkeypatch):
    calls = []

    def make_cohort(*args, **kwargs):
        calls.append((args, kwargs))

    monkeypatch.setattr(phantom, "make_cohort", make_cohort)
    demo = config.get("demo")
    runtime.load(demo)
    runtime.load(dataclasses.replace(demo, size_px=224))
    assert [kwargs for _, kwargs in calls] == [
        {"size_px": 192, "seed": 0}, {"size_px": 256, "seed": 0}
    ]  # fmt: skip
    assert calls[0][0] == (demo.phantom_patients, demo.phantom_slices)


@pytest.mark.usefixtures("published_12")
def test_a_cheng_profile_reads_the_dataset_from_the_folder_named(tmp_path, monkeypatch):
    folder = dataset(tmp_path / "data")
    paper = config.get("paper-lite")
    assert len(runtime.load(paper, data_dir=folder, cache_dir=tmp_path / "cache")) == 12
    monkeypatch.setenv("TUMORCF_DATA", str(folder))
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    assert len(runtime.load(paper)) == 12
    assert list((tmp_path / "runs" / "cache").glob("cheng-*"))


def test_an_unknown_cohort_is_refused():
    with pytest.raises(config.UnknownProfileError, match="'mars'"):
        runtime.load(dataclasses.replace(config.get("paper"), cohort="mars"))


def test_the_calibration_profile_is_no_study_of_six_notebooks():
    with pytest.raises(config.UnknownProfileError, match="calibration"):
        runtime.load(config.get("calibration"))
