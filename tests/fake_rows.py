"""Audit rows with planted drops, for tests of tables."""

import itertools

import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.scores import class_log_odds

INFILLED = ("remove", "sham")


def audit_rows(drops, *, n_persons=12, n_slices=3, n_places=2, sham_drop=0.0, seed=0, **setting):
    """Rows as ``audit.audit`` makes them: original, remove, only, sham, sham_only.

    ``drops``: class -> how far a removal lowers the true class's probability. Every person
    has its own shift, and slices scatter around it. ``setting``: infill, dilation_px.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name, person in itertools.product(CLASSES, range(n_persons)):
        shift = rng.normal(0, 0.03)
        for k in range(n_slices):
            removed = 0.9 - drops.get(name, 0) + shift + rng.normal(0, 0.03)
            edits = [("original", -1, 0.9, 0.0), ("remove", -1, removed, 0.2)]
            edits.append(("only", -1, 0.6, 1.0))
            for place in range(n_places):
                shammed = 0.9 - sham_drop + rng.normal(0, 0.003)
                edits.append(("sham", place, shammed, 0.1 * (1 + place)))
                edits.append(("sham_only", place, 0.4, 1.0))
            who = {"slice_id": f"{name}{person}-{k}", "person": f"{name}{person}", "label": name}
            own = one_slice(edits, **who, **setting)
            rows += [row | {"flag": "", "depth_px": 10.0 + k} for row in own]
    rows = pd.DataFrame(rows)
    return with_classes(rows.assign(p=rows["p"].clip(0.01, 0.99)))


def with_classes(rows, classes=CLASSES):
    """Rows with ``p`` of the true class spread into p_<class> and log_odds."""
    p, label = rows["p"].to_numpy()[:, None], pd.Index(classes).get_indexer(rows["label"])
    is_true = label[:, None] == np.arange(len(classes))
    columns = np.where(is_true, p, (1 - p) / (len(classes) - 1))
    spread = {f"p_{name}": columns[:, k] for k, name in enumerate(classes)}
    return rows.drop(columns="p").assign(**spread, log_odds=class_log_odds(columns, label))


def one_slice(
    edits, *, slice_id="s", person="a", label="glioma", infill="navier_stokes", dilation_px=0
):
    """Rows of one slice: edits are (edit, place, p of the true class, rms)."""
    about = {"slice_id": slice_id, "patient_id": person, "person_id": person, "label": label}
    return [
        about
        | {"edit": edit, "place": place, "infill": infill if edit in INFILLED else ""}
        | {"dilation_px": 0 if edit == "original" else dilation_px, "edit_rms": rms, "p": p}
        | {"reason": ""}
        for edit, place, p, rms in edits
    ]
