"""Damaged files by number: ``python tests/fuzz_cases.py <kind> <how many>`` tries them.

Run as a process of its own by tests/test_fuzz.py, since a reader written in C could crash or
hang. It prints the number of each case before it is tried, so that the last one is known.
"""

import faulthandler
import json
import random
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import cv2
import nibabel
import numpy as np
from fake_cheng import draw, mat_bytes, write_archives

from tumorcf_lib.data import archives, matfile, published
from tumorcf_lib.your_model import InputError, slices as folder

SECONDS_A_CASE = 5.0  # of this process's own time
MEMORY_MB = 1500.0  # resident at most; most of it the libraries' own
AWKWARD = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff")


def mutated(content, rng):
    """The bytes after one damage of seven kinds; more often than not where bytes are not 0."""
    content = bytearray(content)
    n = len(content)
    kind, place, other = rng.randrange(7), rng.randrange(n), rng.randrange(n)
    if rng.random() < 0.7:
        place = next((p for p in range(place, n) if content[p]), place)
    if kind == 0:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        for _ in range(rng.randint(2, 20)):
            content[rng.randrange(n)] = rng.randrange(256)
    elif kind == 2:
        del content[place:]
    elif kind == 3:
        width = rng.choice((1, 2, 4, 8))
        content[place : place + width] = rng.choice(AWKWARD) * width
    elif kind == 4:
        content[place:place] = rng.randbytes(rng.randint(1, 16))
    elif kind == 5:
        del content[place : place + rng.randint(1, 16)]
    else:
        width = rng.randint(1, 64)
        content[place : place + width] = content[other : other + width]
    return bytes(content)


@cache
def slices():
    """Files of one slice: as published, and plain with and without MATLAB's header."""
    with tempfile.TemporaryDirectory() as scratch:
        layouts = ({"packed": True}, {}, {"userblock": 0})
        return [mat_bytes(Path(scratch), 1, **layout) for layout in layouts]


def try_mat(rng):
    """Half of the cases have the published layout, in which every pixel has a checksum."""
    content = slices()[rng.choice((0, 0, 1, 2))]
    try:
        found = matfile.parse(mutated(content, rng), 1, "a.zip/1.mat")
    except matfile.CorruptSliceError as error:
        assert str(error).startswith("Slice 1 (a.zip/1.mat): expected "), error
        return "refused"
    assert found.image.shape == found.mask.shape and found.image.ndim == 2
    assert np.isfinite(found.image).all() and found.image.min() < found.image.max()
    assert found.mask.dtype == bool and found.mask.any()
    assert found.label in (1, 2, 3) and found.patient_id.isprintable() and found.patient_id
    image, mask = draw(1)
    is_same = np.array_equal(found.image, image) and np.array_equal(found.mask, mask)
    assert is_same or content is not slices()[0], "other pixels in the published layout"
    return "same pixels" if is_same else "valid"


@cache
def packed():
    """An archive of three slices, the same uncompressed, and one in an archive."""
    made = []
    with tempfile.TemporaryDirectory() as scratch:
        contents = {f"{n}.mat": mat_bytes(Path(scratch), n, packed=True) for n in (1, 2, 3)}
        contents["cvind.mat"] = b"no slice"
        place = write_archives(Path(scratch), {"own.zip": contents})
        made.append((place / "own.zip").read_bytes())
        write_archives(place, {"own.zip": {"data/all.zip": made[0]}})
        return [*made, (place / "own.zip").read_bytes()]


def try_zip(rng):
    """The whole way, from an archive to a cohort: all three slices to the bit, or an error."""
    place = Path(tempfile.mkdtemp())
    (place / "data").mkdir()
    (place / "data" / "own.zip").write_bytes(mutated(rng.choice(packed()), rng))
    before = set(place.rglob("*"))
    try:
        found = published.read(place / "data", cache_dir=place / "cache", progress=False)
    except matfile.DatasetError as error:
        assert "own.zip" in str(error), error
        left = set(place.rglob("*")) - before - {place / "cache", place / "cache" / ".lock"}
        assert not left, left
        return "refused"
    else:
        assert found.table["slice_id"].tolist() == [1, 2, 3]
        for i in range(3):
            image, mask = draw(i + 1)
            assert np.array_equal(found.slices[i], image) and np.array_equal(found.masks[i], mask)
        return "same slices"
    finally:
        shutil.rmtree(place)


@cache
def pictures():
    """Files of a reader's own, {name: bytes}."""
    image = np.random.default_rng(0).integers(0, 255, (12, 10)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name in ("a.png", "a.jpg", "a.bmp"):
            cv2.imwrite(str(scratch / name), image)
        cv2.imwrite(str(scratch / "a.tif"), image.astype(np.uint16) * 200)
        np.save(scratch / "a.npy", image.astype(np.float32))
        for name in ("a.nii", "a.nii.gz"):
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), scratch / name)
        return {path.name: path.read_bytes() for path in sorted(scratch.iterdir())}


def try_picture(rng):
    name = rng.choice(list(pictures()))
    place = Path(tempfile.mkdtemp())
    (place / name).write_bytes(mutated(pictures()[name], rng))
    (place / "manifest.csv").write_text(f"image,mask,label,patient\n{name},,glioma,P1\n")
    try:
        found = folder.read_folder(place)
    except InputError as error:
        assert "line 2" in str(error) and name in str(error), error
        return "refused"
    else:
        image = found.slices[0]
        assert image.ndim in (2, 3) and image.size and np.isfinite(image).all()
        return "valid"
    finally:
        shutil.rmtree(place)


KINDS = {"mat": try_mat, "zip": try_zip, "picture": try_picture}


def main(kind, n_cases):
    archives.N_PUBLISHED, archives.OWNERS = 3, None
    faulthandler.enable()
    warnings.simplefilter("ignore")
    outcomes = Counter()
    for number in range(n_cases):
        print(f"case {kind} {number}", flush=True)
        started = time.process_time()
        outcomes[KINDS[kind](random.Random(f"{kind} {number}"))] += 1
        seconds = time.process_time() - started
        assert seconds < SECONDS_A_CASE, f"{seconds:.1f} s"
    # This process's own peak; what getrusage says may be that of the one that started it
    peaks = re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert int(peaks[0]) < 1000 * MEMORY_MB, f"{peaks} kB"
    print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
