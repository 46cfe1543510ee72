"""The audit put to the test: networks whose cause is known, and networks that know nothing.

``run`` trains several networks for each rho of :mod:`phantoms.planted`, makes networks with random
weights and networks trained on shuffled labels, and audits them all on the same slices. What comes
of it is in :mod:`tables.calibration`.
"""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, split as splits
from tumorcf_lib.edits import audit, conflicts
from tumorcf_lib.phantoms import planted
from tumorcf_lib.study import made_by, side_studies, unit
from tumorcf_lib.tables import calibration as tables

RHOS = (0.0, 0.5, 0.9, 1.0)
N_PLANTED, N_RANDOM, N_SHUFFLED = 5, 20, 10  # planted: for each rho
SHUFFLED_EPOCHS = 30  # of the head alone: enough to know the training patients by heart
TEST_PATIENTS, TEST_SLICES = 30, 2  # of each class, and of each of these
TRAINING_SEED, TEST_SEED = 0, 2  # of the phantoms; heads of test seed 1 were seen while building
COHORT = "calibration phantom"  # in every table, so that none is taken for one of patients
EXAMPLE_PX = 256
ROWS, MOVED, HISTORY = "rows_calibration.csv.gz", "rows_transplants.csv.gz", unit.HISTORY
TABLES = (
    *("rows_calibration", "table_networks", "table_null", "table_planted", "table_separation"),
    "table_transplants",
)


def run(folder, profile=config.get("calibration"), *, seed=0, progress=print):
    """Train, audit and save everything; a run that was killed goes on where it stopped.

    ``folder`` takes ``rows_calibration.csv.gz`` (every network's audit of the congruent slices),
    the planted ones' ``rows_transplants.csv.gz`` and ``history.csv``; in subfolders, the unit of
    every network. ``profile`` is ``calibration`` or one like it; ``seed`` is of the networks."""
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    tested = congruent_cohort(profile, n_patients=TEST_PATIENTS, n_slices=TEST_SLICES)
    asked = {"audit": made_by.code("audit", "transplants")}
    asked["tested"] = [TEST_SEED, TEST_PATIENTS, TEST_SLICES]
    found = {ROWS: [], MOVED: [], HISTORY: []}
    for name in network_names(RHOS, N_PLANTED, N_RANDOM, N_SHUFFLED):
        own, kind = unit_of(folder, name, profile, seed), tables.kind_of(name)
        if unit.why_stale(own, asked):
            progress(name)
        told = progress if kind == tables.PLANTED else lambda line: None
        network = _random if kind == tables.RANDOM else None
        ask = partial(_ask, profile, tested, seed)
        rows = unit.make(own, ask, asked, network=network, progress=told)
        found[ROWS].append(rowfiles.read_table(rows / ROWS))
        if kind == tables.PLANTED:
            found[MOVED].append(rowfiles.read_table(rows / MOVED))
            found[HISTORY].append(unit.history_of(own.folder / unit.NETWORK))
    for file, parts in found.items():
        rowfiles.write_table(pd.concat(parts, ignore_index=True), folder / file)


def network_names(rhos, n_planted, n_random, n_shuffled):
    """Names of the networks of a run, in their order.

    >>> network_names((0.0, 1.0), 2, 1, 1)
    ['rho 0 01', 'rho 0 02', 'rho 1 01', 'rho 1 02', 'random 01', 'shuffled 01']
    """
    kinds = [*((f"rho {rho:g}", n_planted) for rho in rhos)]
    kinds += [("random", n_random), ("shuffled", n_shuffled)]
    return [f"{kind} {k:02d}" for kind, n in kinds for k in range(1, n + 1)]


def unit_of(folder, name, profile, seed):
    """The unit of a network: taught by its cohort, taught wrong labels, or taught nothing."""
    depends_on = {"profile": profile.as_dict(), "seed": seed}
    depends_on |= {"code": made_by.code("calibration"), "packages": made_by.packages()}
    kind, labels = tables.kind_of(name), None
    cohort, parts = training_cohort(profile, tables.rho_of(name) if kind == tables.PLANTED else 0.0)
    if kind == tables.PLANTED:
        seed += tables.number_of(name) - 1
    else:
        seed = 1000 * (seed + 1) + tables.number_of(name)
        cohort = cohort.subset(parts == "train")
        # Of each patient's slices the last validates, on purpose: the network shall get to know
        # its patients by heart, and answer new ones firmly and by chance.
        is_last = ~cohort.table.duplicated("person_id", keep="last").to_numpy()
        parts = np.where(is_last, "validation", "train")
        labels = unit.deal(cohort.persons, cohort.labels, seed)
        profile = replace(profile, epochs=SHUFFLED_EPOCHS, warmup_epochs=SHUFFLED_EPOCHS)
    known = profile, cohort, parts, seed, depends_on, labels
    return unit.Unit(folder / "units" / name, *known, names={"network": name})


def _random(own, *, progress=print):
    """A network with random weights in place of a trained one; made anew each time, in seconds."""
    from tumorcf_lib.networks import classifier, ignorant

    slices, n_classes = own.prepared.slices, len(own.prepared.classes)
    model = ignorant.random_network(own.profile, slices, n_classes=n_classes, seed=own.seed)
    return classifier.as_predictor(model, batch_size=own.profile.predict_batch_size)


def _ask(profile, tested, seed, own, predict, folder):
    """Write what a network is asked of the congruent slices: the audit, the planted ones also of
    tumors among the markers of other classes; of both what tables need."""
    name, how = own.names["network"], {"seed": seed, "batch_size": profile.predict_batch_size}
    rows = audit.audit(predict, tested, n_places=profile.n_control_places, **how)
    rowfiles.write_table(tables.trimmed(rows, name), folder / ROWS)
    if tables.kind_of(name) == tables.PLANTED:
        rows = conflicts.audit_transplants(predict, tested, **how)
        rowfiles.write_table(tables.trimmed(rows, name, tables.KEPT_OF_MOVED), folder / MOVED)


@lru_cache(maxsize=1)
def training_cohort(profile, rho):
    """The prepared cohort of one rho and the part of each slice, both the same on every call."""
    size = profile.phantom_patients, profile.phantom_slices
    drawn = planted.make_calibration_cohort(
        *size, rho=rho, size_px=profile.size_px, seed=TRAINING_SEED
    )
    cohort = preprocess.prepare(drawn, profile.size_px)
    return cohort, splits.hold_out(cohort.persons, cohort.labels, seed=profile.split_seed)


def congruent_cohort(profile, *, n_patients, n_slices):
    """The prepared slices on which every network is audited; patients of their own."""
    how = {"size_px": profile.size_px, "seed": TEST_SEED}
    drawn = planted.make_congruent_cohort(n_patients, n_slices, **how)
    return preprocess.prepare(drawn, profile.size_px)


# -- publishing --------------------------------------------------------------


def published():
    """What the calibration figure shows, read from ``figures/calibration``: one congruent slice of
    each class, drawn again; scores of ``tables.network_scores``; the published tables by name."""
    return shown(*map(side_studies.published("calibration"), TABLES))


def shown(rows, *derived):
    """What :func:`tumorcf_lib.figures.studies.known_answers` draws of rows and tables."""
    examples = planted.make_congruent_cohort(1, 1, size_px=EXAMPLE_PX, seed=1)
    return examples, tables.network_scores(rows), dict(zip(TABLES[1:], derived, strict=True))


FIGURE = side_studies.Drawn(
    "studies.known_answers", TABLES, shown, lambda rows, _, null, planted, *__: (null, planted)
)
STUDY = side_studies.SideStudy(
    name="calibration",
    files=(ROWS, MOVED, HISTORY),
    derive=tables.derive,
    command="python -m tumorcf_lib calibrate",
    about=lambda folder: {"profile": config.get("calibration"), "source": planted.SOURCE},
    figures={"fig_calibration": FIGURE},
    tag=lambda read: f"{COHORT}s, not patients",
    shows_slices=("fig_calibration",),
    cohort=COHORT,
)
