"""Claims about the advice that a notebook gives where memory is short."""

import os
import platform
import subprocess
import sys

import pytest

from tumorcf_lib import config
from tumorcf_lib.study import kernels, notebooks, runtime

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 2 GB with one other kernel, one server, this process, and one that is gone."""
    monkeypatch.setenv("MEM_LIMIT", "2000000000")
    monkeypatch.setattr(kernels, "CGROUP_LIMITS", ())
    monkeypatch.setattr(kernels, "PROCESSES", tmp_path)
    for pid, command, n_bytes in (
        (11, b"python\0-m\0ipykernel_launcher", 1_200_000_000), (12, b"jupyter-lab", 150_000_000),
        (os.getpid(), b"python\0-m\0ipykernel_launcher", 900_000_000), (13, None, 0),
    ):  # fmt: skip
        (tmp_path / str(pid)).mkdir()
        if command is not None:
            (tmp_path / str(pid) / "cmdline").write_bytes(command)
            (tmp_path / str(pid) / "statm").write_text(f"999999 {n_bytes // PAGE} 7 0")
    return tmp_path


def test_only_other_kernels_count(machine):
    assert kernels.held_by_others() == 1_200_000_000 // PAGE * PAGE


def test_where_memory_is_short_a_reader_is_told_what_to_shut_down(machine, capsys):
    kernels.warn_if_tight()
    shown = capsys.readouterr()
    assert "hold 1.2 GB of the 2.0 GB" in shown.err
    assert "Shut Down All Kernels" in shown.err
    assert shown.out == ""  # published notebooks show the standard output


def test_a_run_from_a_terminal_says_so_too(machine, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(notebooks, "_make", lambda *_: {"minutes": 0})
    notebooks.run(runtime.Study(config.get("smoke"), 0, tmp_path / "smoke"))
    shown = capsys.readouterr().err
    assert "a run needs most of it" in shown and "give the same command again" in shown


def test_with_enough_memory_or_no_other_kernel_nothing_is_said(machine, monkeypatch, capsys):
    monkeypatch.setenv("MEM_LIMIT", "8000000000")
    kernels.warn_if_tight()
    monkeypatch.setenv("MEM_LIMIT", "2000000000")
    (machine / "11" / "statm").write_text("9 9 9")
    kernels.warn_if_tight()
    assert capsys.readouterr().err == ""


def test_the_smallest_limit_counts_and_none_is_infinite(monkeypatch, tmp_path):
    new, old = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    monkeypatch.setattr(kernels, "CGROUP_LIMITS", (new, old))
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    new.write_text("max\n")
    assert kernels.memory_limit() == float("inf")
    old.write_text("2147483648\n")
    monkeypatch.setenv("MEM_LIMIT", "4000000000.0")
    assert kernels.memory_limit() == 2147483648


HEAPS = """
import ctypes, re, sys, threading
from tumorcf_lib.study import kernels
if sys.argv[1] == "one":
    assert kernels.share_one_heap()
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
    monkeypatch.setattr(kernels.ctypes, "CDLL", lambda name: object())
    assert kernels.share_one_heap() is False
