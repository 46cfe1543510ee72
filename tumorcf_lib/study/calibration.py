"""The audit put to the test: networks whose cause is known, and networks that know nothing.

``run`` trains one network for each rho of :mod:`phantoms.planted`, makes networks with random
weights and networks trained on shuffled labels, and audits them all on the same slices. What comes
of it is in :mod:`tables.calibration`.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, split as splits
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.phantoms import planted
from tumorcf_lib.study import made_by, side_studies
from tumorcf_lib.study.unit import NETWORK, Unit, deal, history_of, make, why_stale
from tumorcf_lib.tables import calibration as tables

RHOS = (0.0, 0.5, 0.9, 1.0)
N_RANDOM, N_SHUFFLED = 20, 10
N_TINY_NULLS = 3
SHUFFLED_EPOCHS = 30  # of the head alone: enough to know the training patients by heart
TEST_PATIENTS, TEST_SLICES = 30, 2  # of each class, and of each of these
TRAINING_SEED, TEST_SEED = 0, 2  # of the phantoms; heads of test seed 1 were seen while building
COHORT = "calibration phantom"  # in every table, so that none is taken for one of patients
EXAMPLE_PX = 256
TABLES = ("rows_calibration", "table_networks", "table_null", "table_planted", "table_separation")
EDITS = (plan.Edit("original"), *(plan.Edit(e, "navier_stokes") for e in ("remove", "sham")))


def run_study(*, seed=0):
    """:func:`run` into ``runs/calibration``."""
    return run(config.run("calibration"), config.get("calibration"), seed=seed)


def run(folder, profile, *, seed=0, progress=print):
    """Train, audit and save everything; a run that was killed goes on where it stopped.

    ``folder`` takes ``rows_calibration.csv.gz`` (every network's audit of the congruent slices)
    and the planted ones' ``history.csv``, which are returned as read back; in subfolders, the
    unit of every network. ``profile`` is ``calibration`` or one like it; ``seed`` is of the
    networks."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    steps.clear_unfinished(folder)
    tested = congruent_cohort(profile, n_patients=TEST_PATIENTS, n_slices=TEST_SLICES)
    asked = {"audit": made_by.code("audit"), "tested": [TEST_SEED, TEST_PATIENTS, TEST_SLICES]}
    found = {"rows_calibration.csv.gz": [], "history.csv": []}
    for name in network_names(RHOS, N_RANDOM, N_SHUFFLED):
        unit, kind = unit_of(folder, name, profile, seed), tables.kind_of(name)
        if why_stale(unit, asked):
            progress(name)
        told = progress if kind == tables.PLANTED else lambda line: None
        network = _random if kind == tables.RANDOM else None
        ask = _asking(name, profile, tested, seed)
        rows = make(unit, ask, asked, network=network, progress=told)
        found["rows_calibration.csv.gz"].append(rowfiles.read_table(rows / "rows.csv.gz"))
        if kind == tables.PLANTED:
            found["history.csv"].append(history_of(unit.folder / NETWORK))
    read = {}
    for file, parts in found.items():
        rowfiles.write_table(pd.concat(parts, ignore_index=True), folder / file)
        read[file.split(".")[0]] = rowfiles.read_table(folder / file)
    return read


def network_names(rhos, n_random, n_shuffled):
    """Names of the networks of a run, in their order.

    >>> network_names((0.0, 1.0), 1, 1)
    ['rho 0', 'rho 1', 'random 01', 'shuffled 01']
    """
    return [
        *(f"rho {rho:g}" for rho in rhos),
        *(f"random {k:02d}" for k in range(1, n_random + 1)),
        *(f"shuffled {k:02d}" for k in range(1, n_shuffled + 1)),
    ]


def unit_of(folder, name, profile, seed):
    """The unit of a network: taught by its cohort, taught wrong labels, or taught nothing."""
    depends_on = {"profile": profile.as_dict(), "seed": seed}
    depends_on |= {"code": made_by.code("calibration"), "packages": made_by.packages()}
    kind, labels = tables.kind_of(name), None
    cohort, parts = training_cohort(profile, tables.rho_of(name) if kind == tables.PLANTED else 0.0)
    if kind != tables.PLANTED:
        seed = 1000 * (seed + 1) + int(name.split()[1])
        cohort = cohort.subset(parts == "train")
        # Of each patient's slices the last validates, on purpose: the network shall get to know
        # its patients by heart, and answer new ones firmly and by chance.
        is_last = ~cohort.table.duplicated("person_id", keep="last").to_numpy()
        parts = np.where(is_last, "validation", "train")
        labels = deal(cohort.persons, cohort.labels, seed)
        profile = replace(profile, epochs=SHUFFLED_EPOCHS, warmup_epochs=SHUFFLED_EPOCHS)
    known = profile, cohort, parts, seed, depends_on, labels
    return Unit(folder / "units" / name, *known, names={"network": name})


def _random(unit, *, progress=print):
    """A network with random weights in place of a trained one; made anew each time, in seconds."""
    from tumorcf_lib.networks import classifier, ignorant

    n_classes = len(unit.prepared.classes)
    model = ignorant.random_network(
        unit.profile, unit.prepared.slices, n_classes=n_classes, seed=unit.seed
    )
    return classifier.as_predictor(model, batch_size=unit.profile.predict_batch_size)


def _asking(name, profile, tested, seed):
    """What a network is asked: the congruent slices."""
    is_planted = tables.kind_of(name) == tables.PLANTED
    n_places = profile.n_places if is_planted else profile.n_control_places

    def ask(predict, folder):
        rows = audited(predict, profile, tested, name, n_places=n_places, seed=seed)
        rowfiles.write_table(rows, folder / "rows.csv.gz")

    return ask


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
    drawn = planted.make_congruent_cohort(
        n_patients, n_slices, size_px=profile.size_px, seed=TEST_SEED
    )
    return preprocess.prepare(drawn, profile.size_px)


def tiny(profile, seed=0):
    """Tumor-reader, shortcut-reader and three that know nothing, made in front of a reader:
    logistic regressions on features of the pretrained backbone. Returns rows as
    ``rows_calibration`` and its tables by name; profiles of small slices get a smaller cohort."""
    from tumorcf_lib.networks import classifier, ignorant

    size_px = min(profile.size_px, 128)
    n_patients, n_tested = (120, 15) if size_px == 128 else (50, 10)
    recipe = replace(
        config.get("calibration"), size_px=size_px, phantom_patients=n_patients, phantom_slices=1
    )
    model = ignorant.feature_model(size_px)
    tested = congruent_cohort(recipe, n_patients=n_tested, n_slices=1)
    found, bar = [], tqdm(total=2 + N_TINY_NULLS, desc="networks whose answer is known")
    for rho in (0.0, 1.0):
        cohort, _ = training_cohort(recipe, rho)
        features = classifier.predict(model, cohort.slices)
        taught = {f"rho {rho:g}": cohort.labels}
        if rho == 0:
            taught |= {
                f"shuffled {k:02d}": deal(cohort.persons, cohort.labels, [seed, k])
                for k in range(1, N_TINY_NULLS + 1)
            }
        for name, labels in taught.items():
            reader = ignorant.fit_reader(model, features, labels)
            found.append(audited(reader, recipe, tested, name, n_places=2, seed=seed))
            bar.update()
    bar.close()
    rows = rowfiles.round_trip(pd.concat(found, ignore_index=True))
    return rows, tables.derive_from_audit(tables.network_scores(rows), profile.n_resamples)


def audited(predict, profile, tested, name, *, n_places, seed):
    """A network's audit of the congruent slices, trimmed to what the tables need."""
    how = {"edits": EDITS, "n_places": n_places, "batch_size": profile.predict_batch_size}
    rows = audit.audit(predict, tested, seed=seed, progress=False, **how)
    return tables.trimmed(rows, name)


# -- publishing --------------------------------------------------------------


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/calibration``; parameters as of ``side_studies.SideStudy.publish``."""
    profile = profile or config.get("calibration")
    return STUDY.publish(folder, target, profile=profile, seed=seed, source=planted.SOURCE)


def published(folder=None):
    """What the calibration figure shows, read from ``figures/calibration``: one congruent slice of
    each class, drawn again; scores of ``tables.network_scores``; the published tables by name."""
    read = side_studies.reader(folder or config.published("calibration"))
    return shown(*map(read, TABLES))


def shown(rows, *derived):
    """What :func:`tumorcf_lib.figures.studies.known_answers` draws of rows and tables."""
    examples = planted.make_congruent_cohort(1, 1, size_px=EXAMPLE_PX, seed=1)
    return examples, tables.network_scores(rows), dict(zip(TABLES[1:], derived, strict=True))


FIGURE = side_studies.Drawn(
    "studies.known_answers", TABLES, shown, lambda rows, _, null, planted, __: (null, planted)
)
STUDY = side_studies.SideStudy(
    name="calibration",
    files=("rows_calibration.csv.gz", "history.csv"),
    derive=tables.derive,
    figures={"fig_calibration": FIGURE},
    tag=f"{COHORT}s, not patients",
    shows_slices=("fig_calibration",),
    cohort=COHORT,
    command="python -m tumorcf_lib calibrate",
)
