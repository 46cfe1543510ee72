"""The audit put to the test: networks whose cause is known, and networks that know nothing.

``run`` trains one network for each rho of :mod:`phantoms.planted`, makes
networks with random weights and networks trained on shuffled labels, and audits them all on
the same slices. What comes of it is in :mod:`tables.calibration`.
"""

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess
from tumorcf_lib.data import split as splits
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.networks import memory
from tumorcf_lib.phantoms import planted as phantom_calibration
from tumorcf_lib.study import made_by
from tumorcf_lib.tables import calibration as tables

RHOS = (0.0, 0.5, 0.9, 1.0)
N_RANDOM, N_SHUFFLED = 20, 10
N_TINY_NULLS = 3
TEST_PATIENTS, TEST_SLICES = 30, 2  # of each class, and of each of these
TRAINING_SEED, TEST_SEED = 0, 2  # of the phantoms; heads of test seed 1 were seen while building
EDITS = (
    plan.Edit("original"), plan.Edit("remove", "navier_stokes"),
    plan.Edit("sham", "navier_stokes"),
)  # fmt: skip


def run(folder, profile, *, seed=0, progress=print):
    """Train, audit and save everything; a run that was killed goes on where it stopped.

    Parameters
    ----------
    folder : pathlib.Path
        Takes ``rows_calibration.csv.gz`` (every network's audit of the congruent slices),
        ``rows_follow.csv.gz`` (the planted networks on tested persons of their own cohorts)
        and ``history.csv``; in a subfolder, the same of every finished network.
    profile : config.Profile
        ``calibration`` or one like it: phantom_patients and phantom_slices to train on,
        n_places shams for the planted networks, n_control_places for the others.
    seed : int
        Of the networks; the phantoms stay the same.
    progress : callable
        Gets one line per network and epoch.

    Returns
    -------
    dict of str to DataFrame
        The three files, as read back.
    """
    folder = Path(folder)
    trained, rows_folder = _workspaces(folder, profile, seed)
    tested = congruent_cohort(profile, n_patients=TEST_PATIENTS, n_slices=TEST_SLICES)
    names = network_names(RHOS, N_RANDOM, N_SHUFFLED)
    planted = [name for name in names if tables.kind_of(name) == tables.PLANTED]
    for name in names:
        if not (rows_folder / f"{name}.csv.gz").is_file():
            progress(name)
            _make(name, trained, rows_folder, profile, seed, tested, progress)
    found = {
        "rows_calibration.csv.gz": [rows_folder / f"{name}.csv.gz" for name in names],
        "rows_follow.csv.gz": [trained / name / "own.csv.gz" for name in planted],
        "history.csv": [trained / name / "history_kept.csv" for name in planted],
    }
    read = {}
    for file, paths in found.items():
        table = pd.concat([rowfiles.read_table(path) for path in paths], ignore_index=True)
        rowfiles.write_table(table, folder / file)
        read[file.split(".")[0]] = rowfiles.read_table(folder / file)
    return read


def network_names(rhos, n_random, n_shuffled):
    """Names of the networks of a run, in their order.

    Examples
    --------
    >>> network_names((0.0, 1.0), 1, 1)
    ['rho 0', 'rho 1', 'random 01', 'shuffled 01']
    """
    return [
        *(f"rho {rho:g}" for rho in rhos),
        *(f"random {k:02d}" for k in range(1, n_random + 1)),
        *(f"shuffled {k:02d}" for k in range(1, n_shuffled + 1)),
    ]


@lru_cache(maxsize=1)
def training_cohort(profile, rho):
    """The prepared cohort of one rho and the part of each slice, both the same on every call."""
    cohort = preprocess.prepare(
        phantom_calibration.make_calibration_cohort(
            profile.phantom_patients, profile.phantom_slices, rho=rho,
            size_px=profile.size_px, seed=TRAINING_SEED,
        ),
        profile.size_px,
    )  # fmt: skip
    return cohort, splits.hold_out(cohort.persons, cohort.labels, seed=profile.split_seed)


def congruent_cohort(profile, *, n_patients, n_slices):
    """The prepared slices on which every network is audited; persons of their own."""
    drawn = phantom_calibration.make_congruent_cohort(
        n_patients, n_slices, size_px=profile.size_px, seed=TEST_SEED
    )
    return preprocess.prepare(drawn, profile.size_px)


def tiny(profile, seed=0):
    """Tumor-reader, shortcut-reader and three that know nothing, made in front of a reader.

    Quick readers: logistic regressions on features of the pretrained backbone, which are
    computed once. Profiles of small slices get a smaller cohort.

    Parameters
    ----------
    profile : config.Profile
        Of the study that asks; its ``size_px`` decides how much is drawn.
    seed : int
        Of the shuffled labels and the sham places.

    Returns
    -------
    rows : DataFrame
        As ``rows_calibration``.
    derived : dict of str to DataFrame
        ``table_networks``, ``table_null``, ``table_planted``, ``table_trend`` and
        ``table_separation``.
    """
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.study import calibration_networks as networks

    size_px = min(profile.size_px, 128)
    n_patients, n_tested = (120, 15) if size_px == 128 else (50, 10)
    recipe = replace(
        config.get("calibration"), size_px=size_px, phantom_patients=n_patients, phantom_slices=1
    )
    model = networks.feature_model(size_px)
    tested = congruent_cohort(recipe, n_patients=n_tested, n_slices=1)
    found, bar = [], tqdm(total=2 + N_TINY_NULLS, desc="networks whose answer is known")
    for rho in (0.0, 1.0):
        cohort, _ = training_cohort(recipe, rho)
        features = classifier.predict(model, cohort.slices)
        taught = {f"rho {rho:g}": cohort.labels}
        if rho == 0:
            taught |= {
                f"shuffled {k:02d}": networks.shuffled_labels(cohort, [seed, k])
                for k in range(1, N_TINY_NULLS + 1)
            }
        for name, labels in taught.items():
            reader = networks.fit_reader(model, features, labels)
            found.append(audited(reader, recipe, tested, name, n_places=2, seed=seed))
            bar.update()
    bar.close()
    rows = rowfiles.round_trip(pd.concat(found, ignore_index=True))
    return rows, tables.derive_from_audit(tables.network_scores(rows), profile.n_resamples)


def _make(name, trained, rows_folder, profile, seed, tested, progress):
    """Make one network, audit it, and keep its rows."""
    from tumorcf_lib.networks import classifier

    is_planted = tables.kind_of(name) == tables.PLANTED
    make = _planted if is_planted else _ignorant
    model = make(name, trained / name, profile, seed, progress)
    rows = audited(
        classifier.as_predictor(model, batch_size=profile.predict_batch_size), profile, tested,
        name, n_places=profile.n_places if is_planted else profile.n_control_places, seed=seed,
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    rowfiles.write_table(rows, rows_folder / f"{name}.csv.gz")
    steps.forget_checkpoints(trained / name)
    memory.forget_networks()


def _planted(name, folder, profile, seed, progress):
    """A planted network, trained now or before; its history and own answers lie in the folder."""
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.study import calibration_networks as networks

    weights = folder / "weights.npz"
    if not weights.is_file():
        cohort, parts = training_cohort(profile, tables.rho_of(name))
        done = networks.train_planted(
            profile, cohort, parts, seed=seed, folder=folder, progress=progress
        )
        history = done.marked_history
        history.insert(0, "network", name)
        # Seconds differ from run to run; what is published must not.
        rowfiles.write_table(history.drop(columns="seconds"), folder / "history_kept.csv")
        own = predictions(done.model, profile, cohort.subset(parts == "test"), name)
        rowfiles.write_table(own, folder / "own.csv.gz")
        classifier.save_float16(done.model, weights, max_bytes=sys.maxsize)
    return classifier.load_float16(profile, weights)


def _ignorant(name, folder, profile, seed, progress):
    """A network with random weights or of shuffled labels; made anew each time, in seconds."""
    from tumorcf_lib.study import calibration_networks as networks

    cohort, parts = training_cohort(profile, 0.0)
    cohort = cohort.subset(parts == "train")
    own_seed = 1000 * (seed + 1) + int(name.split()[1])
    if tables.kind_of(name) == tables.SHUFFLED:
        return networks.train_shuffled(profile, cohort, seed=own_seed, folder=folder).model
    return networks.random_network(
        profile, cohort.slices, n_classes=len(cohort.classes), seed=own_seed
    )


def audited(predict, profile, tested, name, *, n_places, seed, progress=False):
    """A network's audit of the congruent slices, trimmed to what the tables need."""
    rows = audit.audit(
        predict, tested, edits=EDITS, n_places=n_places, seed=seed,
        batch_size=profile.predict_batch_size, progress=progress,
    )  # fmt: skip
    return tables.trimmed(rows, name)


def predictions(model, profile, cohort, name):
    """A network's answers on a calibration cohort, beside what marker and look show."""
    from tumorcf_lib.networks import classifier

    names = np.array(cohort.classes)
    table = cohort.table[["slice_id", "person_id"]].copy()
    for column in ("label", "marker", "look"):
        table[column] = names[cohort.table[column]]
    p = classifier.predict(model, cohort.slices, batch_size=profile.predict_batch_size)
    table[[f"p_{k}" for k in names]] = p
    table.insert(0, "network", name)
    return table


def _workspaces(folder, profile, seed):
    """Folders of trained networks and of audits, as long as all they depend on is the same."""
    training = {
        "profile": profile.as_dict(), "seed": seed,
        "code": made_by.code("calibration"),
        "packages": made_by.packages(),
    }  # fmt: skip
    auditing = training | {
        "audit": made_by.code("audit"),
        "tested": [TEST_SEED, TEST_PATIENTS, TEST_SLICES],
    }  # fmt: skip
    steps.clear_unfinished(folder)
    return [
        steps.begin(folder / word, depends_on)
        for word, depends_on in (("networks", training), ("audits", auditing))
    ]
