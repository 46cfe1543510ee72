"""One unit of the study: a network that is trained, asked and audited.

Notebooks 03 to 05, folds and seeds, networks that know nothing, the arms of the leak study, planted
networks and the ResNet-50 from random weights are settings of :class:`Unit`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import cohort as cohorts
from tumorcf_lib.stats.rows import in_front
from tumorcf_lib.study import results

NETWORK, ROWS = "network", "rows"
"""Folders of a unit: its network, and what that answered. A copy of the rows is enough to pool."""

WEIGHTS, HISTORY = "weights.npz", "history.csv"


class UnitError(RuntimeError):
    """A unit that cannot be made, or units that do not belong together."""


@dataclass(frozen=True)
class Unit:
    """A network to be made: by which settings, from what, and where it is kept."""

    folder: Path
    profile: config.Profile
    prepared: cohorts.Cohort  # as the network sees it
    parts: np.ndarray  # "train", "validation", "test" or another word for each slice
    seed: int  # of the training
    depends_on: dict  # all that the training depends on
    labels: np.ndarray | None = None  # as shown in training; the true ones if left out
    names: dict = field(default_factory=dict)  # first columns of its history

    def part(self, name) -> cohorts.Cohort:
        """The slices of a part."""
        return self.prepared.subset(np.flatnonzero(self.parts == name))


def why_stale(unit, depends_on) -> str | None:
    """Why a unit has to be made (again), in words; None if it holds. Its rows may stand alone."""
    asked = steps.why_stale(unit.folder / ROWS, unit.depends_on | depends_on)
    if asked is None and not (unit.folder / NETWORK).exists():
        return None
    return steps.why_stale(unit.folder / NETWORK, unit.depends_on) or asked


def make(unit, ask, depends_on, *, network=None, progress=print) -> Path:
    """The folder of a unit's rows, made now or before; only one process makes a unit at a time.

    ``ask(unit, predict, folder)`` writes the rows, which depend on the training and on
    ``depends_on``: if only the latter changed, the network is kept. ``network``, :func:`trained`
    if left out, makes ``predict`` of the unit."""
    rows, trained_in = unit.folder / ROWS, unit.folder / NETWORK
    unit.folder.parent.mkdir(parents=True, exist_ok=True)
    with steps.held(unit.folder.parent / f"{unit.folder.name}.{steps.LOCK}"):
        if why_stale(unit, depends_on) is None:
            return rows
        from tumorcf_lib.networks import memory

        reason = steps.why_stale(trained_in, unit.depends_on)
        if network is None and reason not in (None, steps.INTERRUPTED):
            steps.remove_whole(rows)  # what another network answered
        predict = (network or trained)(unit, progress=progress)
        ask(unit, predict, steps.begin(rows, unit.depends_on | depends_on))
        steps.seal(rows)
    memory.forget_networks()
    return rows


def bring_up_to_date(unit, ask, depends_on, words, *, network=None, progress=print):
    """:func:`make` a unit if it does not hold; ``words`` name it in the lines that say so."""
    reason = why_stale(unit, depends_on)
    progress(f"{words}: {reason or 'up to date, skipped'}")
    if reason:
        make(unit, ask, depends_on, network=network)
        progress(f"{words}: finished, {config.shown(unit.folder)}")


def trained(unit, *, teach=None, progress=print):
    """The unit's network, trained now or before, as a function from slices to probabilities.

    ``teach(unit, folder, progress=...)`` is :func:`fit` if left out."""
    folder = steps.begin(unit.folder / NETWORK, unit.depends_on)
    if steps.why_stale(folder, unit.depends_on):
        (teach or fit)(unit, folder, progress=progress)
        steps.seal(folder)
    return predictor(unit.profile, folder / WEIGHTS)


def fit(unit, folder, *, progress=print, minutes=np.inf) -> bool:
    """Train a unit's network into a folder as weights and history; whether its schedule is over.

    A killed training goes on after its last finished epoch. With ``minutes``, no epoch is begun
    that would probably end later; the best so far is kept, and the same call goes on."""
    from tumorcf_lib.networks import classifier, memory, training

    if (folder / WEIGHTS).is_file() and not (folder / steps.CHECKPOINT).is_file():
        return True
    classifier.set_up(unit.seed)
    profile, cohort = unit.profile, unit.prepared
    model = classifier.build(profile, n_classes=len(cohort.classes), seed=unit.seed)
    labels = cohort.labels if unit.labels is None else unit.labels
    data = cohort.slices, labels, cohort.persons, unit.parts
    how = {"seed": unit.seed, "folder": folder, "minutes": minutes, "progress": progress}
    done = training.train(model, profile, *data, **how)
    history = done.history.assign(best=done.history["epoch"] == done.best_epoch)
    store(folder, done.model, in_front(history, **unit.names))
    if done.is_over:
        steps.forget_checkpoints(folder)
    memory.forget_networks()
    return done.is_over


def store(folder, model, history):
    """Keep a trained network: its history, how long that took, then its weights."""
    from tumorcf_lib.networks import classifier

    rowfiles.write_table(history, folder / HISTORY)
    results.note_seconds(folder, history["seconds"].sum())
    classifier.save_float16(model, folder / WEIGHTS)


def history_of(folder) -> pd.DataFrame:
    """The history in a network's folder, without seconds: those differ from run to run."""
    return rowfiles.read_table(folder / HISTORY).drop(columns="seconds")


def predictor(profile, weights):
    """The network of stored weights as a function from slices to probabilities."""
    from tumorcf_lib.networks import classifier, speed

    model = speed.folded(classifier.load_float16(profile, weights))
    return classifier.as_predictor(model, batch_size=profile.predict_batch_size)


def deal(persons, labels, seed) -> np.ndarray:
    """Labels dealt anew to the persons at random: each has one, each class as many persons.

    >>> deal(["a", "a", "b", "c"], np.array([0, 0, 1, 2]), seed=0).tolist()
    [2, 2, 0, 1]
    """
    _, first, owner = np.unique(persons, return_index=True, return_inverse=True)
    return np.random.default_rng(seed).permutation(np.asarray(labels)[first])[owner]


def prediction_rows(own, probabilities) -> pd.DataFrame:
    """Rows of some slices: slice_id, patient_id, person_id, label (class name), p_<class>."""
    table = own.who(ids=cohorts.IDS)
    table[[f"p_{name}" for name in own.classes]] = probabilities
    return table
