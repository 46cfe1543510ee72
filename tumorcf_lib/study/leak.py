"""What a leak is worth: the same slices, asked of twins that do and do not know their patients.

Patients are dealt to folds, and half of the slices of every tested patient are tested. One network
learns from other patients only. Its twin learns from as many slices of each class, among them the
other half of the tested patients' own, as if slices and not patients had been dealt. So what
differs is the leak alone. A canary, labels dealt out anew to the patients, shows what a leak makes
of nothing.

Near duplicates: splits take ``MR051644`` and ``MR051644B`` for one person. If they are, slices of
one ID should have nearer neighbors among the slices of the other than among those of a stranger.
Likeness is the Hamming distance of perceptual hashes (pHash: signs of the low frequencies of a
slice). Compared are slices of one plane (axial, coronal, sagittal): examinations that were merely
cut in the same direction would look alike, too. Tables of both are in :mod:`tables.leak`.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.fft
from PIL import Image
from scipy.spatial.distance import cdist

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.controls import planes
from tumorcf_lib.data import preprocess, published, split as splits
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import by_fold, side_studies, unit
from tumorcf_lib.tables import leak
from tumorcf_lib.tables.leak import APART, KINDS, KNOWN, N_BITS, OWN, SHUFFLED

SOURCE = "source.txt"
FILES = ("rows_leak.csv.gz", "rows_duplicates.csv.gz", "history.csv")
COMMAND = "python -m tumorcf_lib leak"
ARMS = [(labels, arm) for labels in (OWN, SHUFFLED) for arm in (APART, KNOWN)]
N_FOLDS, N_CANARY_FOLDS = 5, 1

HASH_SIZE = math.isqrt(N_BITS)
"""Side of the block of low frequencies. The usual 8 (64 bits) sees little more of a head than its
outline, and heads are alike."""

UNKNOWN = "unknown"
BLOCK = 2048
"""Slices asked about at a time, so that pairs take memory by the cohort's size, not its square."""

SLICE = ("slice_id", "patient_id", "person_id", "label", "plane")
COLUMNS = (*SLICE, "kind", "partner_id", "n_candidates", "distance")

PROFILE = replace(
    config.get("paper-lite"),
    name="leak",
    purpose=f"what a leak is worth: {COMMAND}",
    size_px=128,
    epochs=5,
    n_folds=N_FOLDS,
    frozen_blocks=0,
    freeze_depthwise=False,
    validates=False,
)
"""The small recipe of every arm: 128 px, five epochs, all layers learn, nothing chosen."""


def run(folder, profile=PROFILE, *, seed=0):
    """Train and test every arm and save the rows; a run that was killed goes on where it stopped.

    ``folder`` takes the files of :data:`FILES` and, in subfolders, the unit of every arm and fold,
    whose slices are pooled. ``profile`` is the recipe, whose ``n_folds`` says into how many folds
    the patients are dealt. ``seed`` is of every network, the same in all arms; the splits stay."""
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    cohort = published.read(config.data_folder(), cache_dir=config.cache())
    steps.write_whole(folder / SOURCE, f"{cohort.source}\n")
    prepared = preprocess.prepare(cohort, profile.size_px)
    duplicates = duplicate_rows(cohort, plane_of(prepared))  # seconds
    rowfiles.write_table(duplicates, folder / "rows_duplicates.csv.gz")
    units = list(_units(folder, profile, prepared, seed))
    for own in units:
        labels, arm, fold = own.names.values()
        words = f"{labels} labels, patients {arm}, fold {fold + 1}"
        unit.bring_up_to_date(own, _ask, {}, words)
    for name in ("rows_leak.csv.gz", "history.csv"):
        rows = [rowfiles.read_table(own.folder / unit.ROWS / name) for own in units]
        rowfiles.write_table(pd.concat(rows), folder / name)


def _units(folder, profile, prepared, seed):
    """The arms of every fold; the first fold of all arms before the second of any."""
    persons, classes = prepared.persons, prepared.labels
    inputs = steps.sha256(np.ascontiguousarray(prepared.slices).data)
    ids = prepared.table["slice_id"].tolist()
    depends_on = by_fold.training_depends(profile, seed, inputs=inputs, slices=ids)
    shown = {OWN: classes, SHUFFLED: unit.deal(persons, classes, profile.split_seed)}
    folds = splits.k_folds(persons, classes, n_folds=profile.n_folds, seed=profile.split_seed)
    for fold, dealt in enumerate(folds):
        for labels, arm in ARMS if fold < N_CANARY_FOLDS else ARMS[:2]:
            rng = np.random.default_rng([profile.split_seed, fold])
            parts = arm_parts(persons, shown[labels], dealt == "test", arm, rng)
            own = depends_on | {"labels": shown[labels].tolist(), "parts": parts.tolist()}
            known = profile, prepared, parts, seed, own, shown[labels]
            names = {"labels": labels, "arm": arm, "fold": fold}
            yield unit.Unit(folder / f"{labels}-{arm}-fold{fold}", *known, names=names)


def arm_parts(persons, labels, is_tested, arm, rng):
    """Part of every slice in an arm: "train", "test" or "unused".

    Of each tested patient half of the slices (the larger half) are tested, the same in both arms.
    ``KNOWN`` trains on the others in the place of as many slices of each class of other patients.
    ``labels`` are as the arm shows them, ``rng`` is in the same state for both arms."""
    parts = np.where(is_tested, "unused", "train")
    for person in np.unique(persons[is_tested]):
        own = rng.permutation(np.flatnonzero(persons == person))
        parts[own[: -(-len(own) // 2)]] = "test"
    if arm == KNOWN:
        known = np.flatnonzero(parts == "unused")
        for label, n in zip(*np.unique(labels[known], return_counts=True), strict=True):
            others = np.flatnonzero((parts == "train") & (labels == label))
            parts[rng.choice(others, min(n, len(others)), replace=False)] = "unused"
        parts[known] = "train"
    return parts


def _ask(own, predict, folder):
    """Write what an arm's network is asked: who the tested slices are, by labels true and shown."""
    tested, is_trained = own.part("test"), own.parts == "train"
    rows = unit.prediction_rows(tested, predict(tested.slices))
    shown = np.array(tested.classes, object)[own.labels[own.parts == "test"]]
    rows.insert(4, "shown_label", shown)
    trained_on = pd.Series(own.prepared.persons[is_trained]).value_counts()
    rows.insert(5, "n_own_trained", rows["person_id"].map(trained_on).fillna(0).astype(int))
    rows.insert(6, "n_trained", int(is_trained.sum()))
    rowfiles.write_table(in_front(rows, **own.names), folder / "rows_leak.csv.gz")
    rowfiles.write_table(unit.history_of(own.folder / unit.NETWORK), folder / "history.csv")


# -- near duplicates ------------------------------------------------------------


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


def duplicate_rows(cohort, plane_of_slice):
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
        print(f"perceptual hashes of {len(of_class)} slices of class {label}")
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


# -- publishing -----------------------------------------------------------------


def _about(folder):
    source = (folder / SOURCE).read_text(encoding="utf-8").strip()
    return {"profile": PROFILE, "source": source}


SHOWN = ("table_leak", "rows_duplicates", "table_duplicates")
STUDY = side_studies.SideStudy(
    name="leak",
    files=FILES,
    derive=leak.derive,
    command=COMMAND,
    about=_about,
    figures={"fig_leak": side_studies.Drawn("studies.leak", SHOWN)},
)
