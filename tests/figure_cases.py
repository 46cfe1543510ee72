"""Small tables and slices, and every figure drawn from them."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from tumorcf_lib.config import CLASSES
from tumorcf_lib.data.cohort import from_arrays
from tumorcf_lib.figures import controls, forests, scores, slices, studies, training
from tumorcf_lib.tables.duplicates import KINDS

GROUPS = ("all", *CLASSES)
INFILLS = ("navier_stokes", "telea", "mirror")
NAN = float("nan")
HISTORY = {
    "loss": [1.0, 0.6, 0.5],
    "val_loss": [1.1, 0.7, 0.8],
    "accuracy": [0.4, 0.7, 0.8],
    "val_accuracy": [0.5, 0.6, 0.7],
    "best": [False, True, False],
}


def lines(*keys, seed=0):
    """One row for each combination of the keys' values, with an interval around its effect."""
    rng, rows = np.random.default_rng(seed), [{}]
    for name, values in keys:
        rows = [{**row, name: value} for row in rows for value in values]
    for row in rows:
        effect = round(rng.uniform(-0.2, 0.8), 4)
        row |= {"effect": effect, "low": effect - 0.1, "high": effect + 0.05}
        row |= {"n_slices": 30, "n_persons": 12}
    return pd.DataFrame(rows)


def squares(n=9, size=24):
    """Slices of rising brightness with square tumors of rising size."""
    masks = np.zeros((n, size, size), bool)
    for k in range(n):
        masks[k, 4 : 6 + k, 4 : 6 + k] = True
    images = np.arange(n)[:, None, None] + np.random.default_rng(0).random((n, size, size))
    return images + 3 * masks, masks


def cohort(n=9, classes=CLASSES):
    images, masks = squares(n)
    people = [f"p{k}" for k in range(n)]
    labels = np.arange(n) % len(classes)
    about = {"classes": classes, "name": "test", "source": "Squares."}
    return from_arrays(images, masks, labels, people, **about)


def errors(n=9):
    names = [CLASSES[k % 3] for k in range(n)]
    confidence = np.linspace(0.876, 0.5, n)
    table = {"label": names, "predicted": names[::-1], "person_id": "7", "confidence": confidence}
    return pd.DataFrame(table)


def edits():
    rows = []
    for image, mask, name in zip(*squares(2, 48), CLASSES, strict=False):
        removed, sham = np.where(mask, 0.5, image), np.roll(mask, 12, axis=1)
        images = {"original": image, "remove": removed, "sham": np.where(sham, 0.2, image)}
        p = {"original": 0.9, "remove": 0.25, "sham": 0.85, "only": 0.4}
        masks = {"original": mask, "remove": mask, "sham": sham}
        rows.append({"label": name, "images": images, "masks": masks, "p": p})
    del rows[1]["images"]["sham"], rows[1]["p"]["sham"]  # a slice without a legal place
    return rows


def slice_table():
    labels = np.array(CLASSES)[[0, 0, 0, 1, 1, 2]]
    names = {"slice_id": list("uvwxyz"), "person_id": list("aabcde"), "label": labels}
    return pd.DataFrame({**names, "tumor_share": 0.02})


def split(n_folds=1):
    parts = ["train", "train", "test", "train", "validation", "test"]
    folds = [
        {"slice_id": list("uvwxyz"), "fold": k, "part": np.roll(parts, k)} for k in range(n_folds)
    ]
    return pd.concat(map(pd.DataFrame, folds))


def slice_scores(n_persons=12):
    rng = np.random.default_rng(0)
    n = 3 * n_persons
    correct = rng.random(n) < 0.8
    table = {"label": np.tile(CLASSES, n_persons), "person_id": [f"p{i // 2}" for i in range(n)]}
    table |= {"correct": correct, "p_orig": np.where(correct, 0.9, 0.3)}
    names = ("delta_drop", "delta_focus", "sham_drop", "net_drop")
    return pd.DataFrame(table | {name: rng.uniform(0, 0.9, n) for name in names})


def means():
    """Means of :func:`slice_scores` by score and group."""
    rows, scored = [], slice_scores()
    for score in ("delta_drop", "sham_drop", "net_drop", "delta_focus"):
        for group in GROUPS:
            value = scored.loc[(group == "all") | (scored["label"] == group), score].mean()
            row = {"score": score, "group": group, "effect": value}
            rows.append(row | {"low": value - 0.1, "high": value + 0.05})
    return pd.DataFrame(rows)


def answers():
    edits = ("original", "remove", "sham", "background", "only", "blank")
    table = lines(("edit", edits), ("label", CLASSES)).rename(columns={"effect": "share"})
    table["share"], table["low"], table["high"] = np.linspace(0, 1, 18), NAN, NAN
    table.loc[3:5, ["low", "high"]] = 0.1, 0.5
    return table


def primary():
    table = lines(("claim", ("Removing it lowers it", "It alone keeps more " * 4, "All errors")))
    told = {"verdict": ["holds", "does not hold", "cannot be told"], "finding": [1, 2, 5]}
    told["network_error"] = [0.01, 0.02, NAN]
    return table.assign(**told, null_low=[-0.05, -0.04, NAN], null_high=[0.05, 0.04, NAN])


def reliability():
    edges, parts = np.linspace(0, 1, 6), []
    for kind, temperature in (("slices", 1.0), ("persons", 1.0), ("slices, temperature", 1.7)):
        bins = {"low": edges[:-1], "high": edges[1:], "n": [0, 2, 5, 10, 20]}
        bins |= {"confidence": edges[:-1] + 0.1, "accuracy": [NAN, 0.5, 0.4, 0.7, 0.95]}
        parts.append(pd.DataFrame({"kind": kind, "temperature": temperature, "ece": 0.08, **bins}))
    return pd.concat(parts, ignore_index=True)


def fall_to():
    shares = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7]])
    return pd.DataFrame(
        [
            {"edit": edit, "label": a, "to": b, "n": int(20 * shares[i, j]), "share": shares[i, j]}
            for edit in ("blank", "original", "remove")
            for i, a in enumerate(CLASSES)
            for j, b in enumerate(CLASSES)
        ]
    )


def confusion(counts=((5, 0, 0), (0, 6, 0), (0, 0, 7))):
    names = [f"predicted {name}" for name in CLASSES]
    return pd.DataFrame(counts, columns=names).assign(true=CLASSES)[["true", *names]]


def variants():
    names = {"headline": "headline", "telea": "infill", "mirror": "infill", "log-odds": "scale"}
    names |= {"hardened": "network", "looking (gaussian blur)": "network"}
    table = lines(("variant", names), ("group", GROUPS)).assign(lies="includes 0")
    table["family"] = table["variant"].map(names)
    table["scale"] = np.where(table["variant"] == "log-odds", "log-odds", "probability")
    table.loc[::3, "lies"] = "above 0"
    return table


def infills():
    scored = ("score", ("net_drop", "delta_drop"))
    table = lines(("infill", INFILLS), scored, ("group", GROUPS), ("slices", ("own", "common")))
    return table[(table["infill"] != "mirror") | (table["slices"] == "own")]


def quality():
    return lines(("infill", INFILLS), ("score", ("mae", "ssim")), ("group", GROUPS), seed=2)


def detector():
    views = ("view", ("slice", "patch"))
    table = lines(("infill", INFILLS), views, ("group", ("all", "glioma")), seed=3)
    return table.rename(columns={"effect": "auc"})


def dilations():
    scored = ("score", ("delta_drop", "sham_drop", "net_drop"))
    return lines(("dilation_px", (4, -1, 0, 9)), scored, ("group", GROUPS), seed=4)


def probes():
    metrics = ("metric", ("balanced accuracy", "ROC AUC"))
    seen = ("probe", ("background", "mask"))
    table = lines(seen, ("network", ("as it is", "retrained")), metrics, ("group", ("all", "x")))
    table = table[(table["probe"] != "mask") | (table["network"] == "retrained")]
    return table.rename(columns={"effect": "value"}).assign(chance=1 / 3)


def networks():
    names = ("network", ("plain", "hardened", "looking"))
    scored = ("score", ("accuracy", "net_drop", "delta_focus", "net_focus"))
    table = lines(names, scored, ("infill", ("", "unseen", "telea")), ("group", GROUPS), seed=6)
    drops = table["score"] == "net_drop"
    table.loc[drops & (table["infill"] == ""), "infill"] = "navier_stokes"
    return table[drops | (table["infill"] == "")]


def energy():
    names = ("net_drop", "net_drop_matched", "net_drop_residual", "rms_ratio")
    table = lines(("quantity", names), ("group", GROUPS), ("scale", ("probability", "log-odds")))
    ratio = table["quantity"] == "rms_ratio"
    table.loc[ratio, "scale"] = "ratio"
    return table.drop_duplicates(["quantity", "group", "scale"])


def covariates():
    names = ("covariate", ("area", "contrast", "depth"))
    table = lines(("score", ("net_drop", "net_drop_lo")), ("group", GROUPS), names, seed=8)
    return table.assign(ols=0.123, boot_low=0.1, boot_high=0.15)


def folds():
    accuracy = {"slice_accuracy": [0.91, 0.94, 0.8, 0.3], "person_accuracy": [0.9, 1.0, 0.97, 0.4]}
    networks = {"network": ["plain"] * 3 + ["shuffled"], "training_seed": [0, 0, 1, 1]}
    return pd.DataFrame({**networks, "fold": [0, 1, 1, 1], **accuracy})


def elsewhere():
    table = {"source": ["this project: five folds", "somebody: a network"]}
    table |= {"slices": [0.93, NAN], "slices_low": [0.9, NAN], "slices_high": [0.95, NAN]}
    table |= {"persons": [0.92, 0.897], "persons_low": [0.88, NAN], "persons_high": [0.96, NAN]}
    return pd.DataFrame(table)


def leak():
    right = {"own": (0.83, 0.86, 0.03), "shuffled": (0.31, 0.43, 0.12)}
    rows = [
        {"labels": labels, "arm": arm, "score": score, "group": group, "effect": value - shift}
        | {"low": value - 0.1, "high": value + 0.1, "n_slices": 1520, "n_persons": 209}
        for labels, values in right.items()
        for arm, value in zip(("apart", "known", "known minus apart"), values, strict=True)
        for score, group, shift in (("right", "all", 0), ("right", "glioma", 0.01), ("p", "all", 0))
    ]
    return pd.DataFrame(rows)


def duplicates(kinds=KINDS[:2]):
    rows = [(kind, 20 + 3 * i + 10 * k) for k, kind in enumerate(kinds) for i in range(4)]
    return pd.DataFrame(rows, columns=["kind", "distance"])


def summary():
    return pd.DataFrame({"kind": list(KINDS), "threshold": 24})


def bright():
    return squares()[0]


def even():
    return bright() / 9


def names():
    return list(CLASSES) * 3


def steps():
    return [{"as stored": image, "resized": image[::2, ::2]} for image in squares()[0][:2]]


CASES = {
    "examples": (9, partial(slices.examples, captions=["axial"] * 9), cohort),
    "preprocessing": (6, partial(slices.preprocessing, masks=squares()[1]), steps, names),
    "errors": (12, slices.errors, cohort, errors),
    "edits": (10, partial(slices.edits, note="medians"), edits),
    "cohort": (4, studies.cohort, slice_table, partial(split, 2)),
    "intensities": (2, studies.intensities, bright, even, names),
    "folds": (2, studies.folds, folds, elsewhere),
    "leak": (2, studies.leak, leak, duplicates, summary),
    "learning_curves": (2, training.learning_curves, lambda: HISTORY),
    "confusion": (2, training.confusion, confusion),
    "reliability": (6, training.reliability, reliability),
    "answer": (1, scores.answer, answers),
    "correct_vs_wrong": (3, scores.correct_vs_wrong, slice_scores),
    "drop_vs_focus": (3, scores.drop_vs_focus, slice_scores),
    "fall_to": (3, scores.fall_to, fall_to),
    "dilations": (4, scores.dilations, dilations),
    "primary": (1, forests.primary, primary),
    "headline": (1, forests.headline, means),
    "energy": (1, controls.energy, energy),
    "probes": (1, controls.probes, probes),
    "networks": (3, controls.networks, networks),
    "infills": (3, controls.infills, infills, quality, detector),
    "covariates": (3, controls.covariates, covariates),
    "robustness": (4, controls.robustness, variants),
}
"""Name of a figure -> its number of axes, its function, and functions that make its arguments."""


def draw(name, **options):
    _, function, *made = CASES[name]
    return function(*(make() for make in made), **options)


def texts(fig):
    return [text.get_text() for text in fig.findobj(plt.Text) if text.get_text()]


def marks(ax):
    """(x, y) of every estimate with or without an interval along x."""
    found = [container[0] for container in ax.containers if hasattr(container, "has_xerr")]
    return [(float(mark.get_xdata()[0]), float(mark.get_ydata()[0])) for mark in found]
