"""Slices to measure on: phantoms, so that nobody needs the dataset."""

import zipfile

import cv2
import h5py
import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.data import archives, preprocess
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.phantoms import cohort as phantom


def prepared(n, size_px):
    """A cohort of n network inputs; beyond the first 60 slices they repeat, under other names."""
    drawn = phantom.make_cohort(min(20, -(-n // 3)), 1, size_px=max(64, min(size_px, 256)))
    cohort = preprocess.prepare(drawn, size_px)
    at = np.arange(n) % len(cohort)
    return named(cohort.slices[at], cohort.masks[at])


def named(slices, masks):
    """A cohort of these arrays, each slice of a person of its own, the classes in turns."""
    n = len(slices)
    names = [f"p{i:05d}" for i in range(n)]
    table = pd.DataFrame(
        {
            "slice_id": np.arange(n) + 1,
            "label": np.arange(n) % len(CLASSES),
            "patient_id": names,
            "person_id": names,
        }
    )
    return Cohort("phantom", slices, masks, table, CLASSES, "")


def write_mats(folder, n, size_px):
    """N.mat files in the published layout, compressed as MATLAB does: noisy phantoms, 16 bits."""
    folder.mkdir(parents=True)
    drawn = phantom.make_cohort(min(8, -(-n // 3)), 1, size_px=size_px)
    rng = np.random.default_rng(0)
    for number in range(1, n + 1):
        i = (number - 1) % len(drawn)
        noise = rng.normal(0, 20, (size_px, size_px))
        image = np.clip(drawn.slices[i] * 8.0 + noise, 0, 32767).astype(np.int16)
        with h5py.File(folder / f"{number}.mat", "w", userblock_size=512) as file:
            group = file.create_group("cjdata")
            group["PID"] = np.array([[ord(letter)] for letter in f"{number:06d}"], np.uint16)
            group["label"] = np.array([[drawn.labels[i] + 1]], np.float64)
            outlines, _ = cv2.findContours(
                drawn.masks[i].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            group["tumorBorder"] = max(outlines, key=len).reshape(1, -1).astype(float)
            for name, pixels in (("image", image), ("tumorMask", drawn.masks[i].astype(np.uint8))):
                group.create_dataset(name, data=pixels.T, compression="gzip", compression_opts=3)
    return sorted(folder.glob("*.mat"), key=lambda path: int(path.stem))


def pack(paths, folder):
    """The four archives of the published names, the files dealt out among them."""
    folder.mkdir()
    for part, archive in zip(np.array_split(np.arange(len(paths)), 4), archives.PUBLISHED):
        with zipfile.ZipFile(folder / archive.name, "w", zipfile.ZIP_DEFLATED) as packed:
            for i in part:
                packed.write(paths[i], paths[i].name)
