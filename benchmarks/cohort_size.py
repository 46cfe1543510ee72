"""Time and memory of three stages on cohorts of once, three and ten times the slices.

Each run is a process of its own, watched from outside: ``python -m benchmarks.cohort_size
STAGE FOLDER`` does the work of one stage on what the parent put into the folder, and prints
its seconds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import slices
from benchmarks.measure import Row, timed
from tumorcf_lib.data import preprocess, published
from tumorcf_lib.edits import audit as audits

TIMES = (1, 3, 10)
SIZES = {"full": (100, 256, 224), "tiny": (2, 64, 64)}
WATCH_SECONDS = 0.02


def run(size, repeats):
    """Rows of each stage and size: seconds a slice against those at once the slices, memory."""
    n_once, size_px, prepared_px = SIZES[size]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {}
        for times in TIMES:
            folders[times] = Path(scratch) / f"x{times}"
            _put(folders[times], n_once * times, size_px, prepared_px)
        for stage in STAGES:
            measured = {times: [] for times in TIMES}
            for _ in range(max(1, repeats)):
                for times, folder in folders.items():
                    measured[times].append(watched(stage, folder))
            rows += _rows(stage, measured, n_once)
    return rows


def watched(stage, folder):
    """Seconds and processor seconds of a stage's work, peak memory of its process in MB.

    Returns
    -------
    tuple of float
        seconds, cpu_seconds, anonymous_mb, pss_mb; memory is NaN where the system does not
        tell it (elsewhere than on Linux).
    """
    command = [sys.executable, "-m", "benchmarks.cohort_size", stage, str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    anonymous = pss = float("nan")
    while child.poll() is None:
        found = _memory(child.pid)
        if found:
            anonymous, pss = np.fmax(anonymous, found[0]), np.fmax(pss, found[1])
        time.sleep(WATCH_SECONDS)
    if child.returncode:
        raise RuntimeError(f"The stage {stage} of {folder} stopped with {child.returncode}.")
    seconds, cpu_seconds = json.loads(child.stdout.read())
    return seconds, cpu_seconds, float(anonymous), float(pss)


def _memory(pid):
    """Anonymous and proportional set size of a process in MB; None if that cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError):  # it has ended, or this is not Linux
        return None
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kb["Anonymous"] / 1024, kb["Pss"] / 1024


def _rows(stage, measured, n_once):
    rows = []
    for times, runs in measured.items():
        n = n_once * times
        ratios = [
            (base[0] / n_once) / (own[0] / n) for base, own in zip(measured[1], runs, strict=True)
        ]
        medians = [statistics.median(column) for column in zip(*runs, strict=True)]
        row = Row(
            "cohort size",
            stage,
            f"x{times}",
            n,
            "slices",
            len(runs),
            *medians[:2],
            statistics.median(ratios),
            min(ratios),
            max(ratios),
        )
        rows.append(replace(row, anonymous_mb=medians[2], pss_mb=medians[3]))
    return rows


def _put(folder, n, size_px, prepared_px):
    """What the stages begin with: .mat files, slices as stored, and network inputs."""
    folder.mkdir()
    paths = slices.write_mats(folder / "few", min(n, 24), size_px)
    (folder / "mats").mkdir()
    for number in range(1, n + 1):
        _renumbered(paths[(number - 1) % len(paths)], folder / "mats" / f"{number}.mat", number)
    drawn = slices.prepared(min(n, 24), prepared_px)
    at = np.arange(n) % len(drawn)
    np.save(folder / "stored.npy", (drawn.slices[at] * 40).astype(np.int16))
    np.save(folder / "inputs.npy", drawn.slices[at])
    np.save(folder / "masks.npy", drawn.masks[at])


def _renumbered(path, copy, number):
    """A copy of an N.mat with a patient, and a pixel, of its own."""
    import h5py

    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["cjdata/image"][0, 0] = number
        file["cjdata/PID"][...] = np.array([[ord(digit)] for digit in f"{number:06d}"], np.uint16)


# -- the work, in a process of its own ----------------------------------------------------


def _reader(folder):
    with tempfile.TemporaryDirectory() as cache:
        published.read(folder / "mats", cache_dir=cache, progress=False)


def _preparation(folder):
    cohort = _cohort(folder, "stored")
    size_px = cohort.masks.shape[1]
    with tempfile.TemporaryDirectory() as out:
        shape = len(cohort), size_px, size_px
        made = {
            name: np.lib.format.open_memmap(Path(out) / f"{name}.npy", "w+", dtype, shape)
            for name, dtype in (("out_slices", np.float32), ("out_masks", bool))
        }
        preprocess.prepare(cohort, size_px, **made)


def _audit(folder):
    cohort = _cohort(folder, "inputs")
    part = cohort.subset(np.arange(len(cohort)))  # as a unit's tested slices are
    audits.audit(_bright, part, n_places=5)


STAGES = {"reader": _reader, "preparation": _preparation, "audit": _audit}


def _cohort(folder, name):
    stored, masks = (np.load(folder / f"{file}.npy", mmap_mode="r") for file in (name, "masks"))
    return slices.named(stored, masks)


def _bright(inputs):
    """A `predict` that costs nothing: the brighter, the likelier the first class."""
    p = 1 / (1 + np.exp(-inputs.mean(axis=(1, 2))))
    return np.stack([p, (1 - p) / 2, (1 - p) / 2], axis=1)


if __name__ == "__main__":
    seconds, cpu_seconds, _ = timed(lambda: STAGES[sys.argv[1]](Path(sys.argv[2])))
    print(json.dumps([seconds, cpu_seconds]))
