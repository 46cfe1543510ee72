"""Near duplicates: do patient IDs of one stem show slices that look alike?

Splits take ``MR051644`` and ``MR051644B`` for one person. If they are, slices of one ID should
have nearer neighbors among the slices of the other than among those of a stranger. Likeness is
the Hamming distance of perceptual hashes (pHash: signs of the low frequencies of a slice).
Compared are slices of one plane (axial, coronal, sagittal): examinations that were merely cut in
the same direction would look alike, too.
"""

import math
import re

import numpy as np
import pandas as pd
import scipy.fft
from PIL import Image
from scipy.spatial.distance import cdist

from tumorcf_lib.controls import planes
from tumorcf_lib.data import preprocess
from tumorcf_lib.tables.duplicates import KINDS, N_BITS

HASH_SIZE = math.isqrt(N_BITS)
"""Side of the block of low frequencies. The usual 8 (64 bits) sees little more of a head than its
outline, and heads are alike."""

UNKNOWN = "unknown"
BLOCK = 2048
"""Slices asked about at a time, so that pairs take memory by the cohort's size, not its square."""

SLICE = ("slice_id", "patient_id", "person_id", "label", "plane")
COLUMNS = (*SLICE, "kind", "partner_id", "n_candidates", "distance")


def hashes(slices):
    """Perceptual hash of each slice, scaled as for the network, in 8 bits: bool (n, 256).

    Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010; the same
    bits as ``imagehash.phash`` gives of the slice at 64 x 64.
    """
    found = np.empty((len(slices), HASH_SIZE**2), bool)
    for i in range(len(slices)):
        scale = preprocess.fit_intensity_map(slices[i])
        gray = scale(slices[i]) * scale.std + scale.mean  # (height, width), 0 to 1
        picture = Image.fromarray(np.round(255 * gray).astype(np.uint8))
        small = np.asarray(picture.resize((4 * HASH_SIZE, 4 * HASH_SIZE), Image.Resampling.LANCZOS))
        low = scipy.fft.dct(scipy.fft.dct(small, axis=0), axis=1)[:HASH_SIZE, :HASH_SIZE]
        found[i] = (low > np.median(low)).ravel()
    return found


def plane_of(prepared):
    """The estimated plane of each prepared slice; "unknown" where none can be learned."""
    estimated = planes.estimate_planes(prepared)
    unknown = np.full(len(prepared), UNKNOWN, object)
    return unknown if estimated is None else estimated["plane"].to_numpy(object)


def rows(cohort, plane_of_slice, progress=print):
    """The nearest slice of every ID of the same class, for each slice whose person has several IDs.

    One row (:data:`COLUMNS`) per slice and ID it is compared with (partner_id), if that has slices
    of its plane: n_candidates of them (not the slice itself), distance to the nearest, 0 to 256.
    """
    table = cohort.table.assign(
        label=np.array(cohort.classes, object)[cohort.labels], plane=np.asarray(plane_of_slice)
    )
    n_ids = table.groupby("person_id")["patient_id"].transform("nunique")
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for label in dict.fromkeys(table.loc[n_ids > 1, "label"]):
        of_class = np.flatnonzero(table["label"] == label)
        progress(f"perceptual hashes of {len(of_class)} slices of class {label}")
        bits = hashes([np.asarray(cohort.slices[i]) for i in of_class])
        own = table.iloc[of_class].reset_index(drop=True)
        asked = np.flatnonzero(n_ids.iloc[of_class] > 1)
        for start in range(0, len(asked), BLOCK):
            parts += _nearest(own, bits, asked[start : start + BLOCK])
    return pd.concat(parts[1:] or parts, ignore_index=True)[list(COLUMNS)]


def _nearest(table, bits, asked):
    """One table per partner ID: its nearest slice to each of the slices asked about."""
    plane, n_bits = table["plane"].to_numpy(), bits.shape[1]
    may_meet = plane[asked][:, None] == plane  # (n_asked, n)
    may_meet[np.arange(len(asked)), asked] = False  # no slice is its own neighbor
    distances = np.rint(n_bits * cdist(bits[asked], bits, "hamming")).astype(int)
    distances[~may_meet] = n_bits + 1
    slices = table.iloc[asked].reset_index(drop=True)
    parts = []
    for (partner, person), members in table.groupby(["patient_id", "person_id"]).indices.items():
        is_own = slices["patient_id"] == partner
        is_stem = slices["person_id"] == person
        is_series = slices["patient_id"].map(series) == series(partner)
        made = slices[list(SLICE)].assign(
            kind=np.select([is_own, is_stem, is_series], KINDS[:3], KINDS[3]),
            partner_id=partner,
            n_candidates=may_meet[:, members].sum(axis=1),
            distance=distances[:, members].min(axis=1),
        )
        parts.append(made[made["n_candidates"] > 0])
    return parts


def series(patient_id):
    """The letters that an ID begins with.

    >>> series("MR051644B"), series("100360")
    ('MR', '')
    """
    return re.match(r"[A-Za-z]*", patient_id).group()
