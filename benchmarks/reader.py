"""Reading the dataset, against opening every .mat anew in every notebook."""

import tempfile
from pathlib import Path

import h5py
import numpy as np

from benchmarks import slices
from benchmarks.measure import compare
from tumorcf_lib.data import published

SIZES = {"full": (240, 512), "tiny": (6, 64)}


def run(size, repeats):
    """Rows: loose files one by one; our first reading of the archives; every later one."""
    n, size_px = SIZES[size]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        paths = slices.write_mats(scratch / "loose", n, size_px)
        slices.pack(paths, scratch / "archives")
        cases = {
            "naive: every .mat by h5py, unpacked before": lambda: _naive(paths),
            "first time: four ZIPs, all checked, kept as arrays": lambda: _first(scratch),
            "later: arrays mapped": lambda: _read(scratch, scratch / "kept"),
            "later, and every pixel looked at": lambda: _every_pixel(
                _read(scratch, scratch / "kept")
            ),
        }
        return compare(
            "reader",
            f"{n} slices, {size_px} px",
            cases,
            n=n,
            unit="slices",
            repeats=repeats,
            agree=_agree,
        )


def _naive(paths):
    images, masks, labels, patients = [], [], [], []
    for path in paths:
        with h5py.File(path) as file:
            cjdata = file["cjdata"]
            images.append(cjdata["image"][()].T)
            masks.append(cjdata["tumorMask"][()].T.astype(bool))
            labels.append(int(cjdata["label"][0, 0]))
            patients.append("".join(chr(code) for code in cjdata["PID"][:, 0]))
    return images, masks, labels, patients


def _first(scratch):
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        cohort = _read(scratch, cache)
        return cohort, [np.array(cohort.slices[i]) for i in range(3)]


def _read(scratch, cache):
    return published.read(scratch / "archives", cache_dir=cache, progress=False)


def _every_pixel(cohort):
    return cohort, sum(int(slice.sum()) for slice in cohort.slices), cohort.masks.flat.sum()


def _agree(results):
    (images, masks, labels, patients), (_, few), cohort, (_, total, n_inside) = results.values()
    assert all(np.array_equal(one, other) for one, other in zip(images, few))
    assert all(np.array_equal(one, other) for one, other in zip(images, cohort.slices, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(masks, cohort.masks, strict=True))
    assert total == sum(int(image.sum()) for image in images)
    assert n_inside == sum(mask.sum() for mask in masks)
    assert (cohort.labels + 1).tolist() == labels
    assert cohort.table["patient_id"].tolist() == patients
