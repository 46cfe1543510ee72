"""What is looked at before anything is measured: slices, masks, intensities, and the classifier."""

import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from tumorcf_lib.edits import head, plan, sites
from tumorcf_lib.your_model import InputError, inputs, nulls
from tumorcf_lib.your_model.outputs import Probabilities

N_SAMPLE = 96
N_PIXELS = 6_000_000  # of the slices looked at, all together
SAME, ALONE = 1e-3, 0.02
"""How far answers may differ when asked twice, and when asked in another company."""

BETTER = 0.15  # another scale or order is named if it gains so much accuracy
MIN_PERSONS = 10


@dataclass
class Findings:
    """Warnings (of which the serious ones forbid a verdict), and the numbers behind them."""

    warnings: list = field(default_factory=list)
    serious: list = field(default_factory=list)
    facts: list = field(default_factory=list)
    scales: pd.DataFrame = None
    sample: object = None

    def warn(self, text, *, serious=False):
        self.warnings.append(text)
        if serious:
            self.serious.append(text)


def sample_of(cohort, *, n=N_SAMPLE, seed=0):
    """Indices of the slices that are looked at: every class in proportion, other patients first."""
    pixels = float((cohort.table["height"] * cohort.table["width"]).max())
    n = int(np.clip(N_PIXELS / pixels, 12, n))
    return nulls.chosen(cohort.labels, cohort.persons, n, np.random.default_rng(seed))


def of_slices(cohort, prepared, *, size, scale, fit="pad", air=None) -> Findings:
    """Checks of slices and masks, by what reading them found and by a sample as prepared."""
    found, table = Findings(sample=prepared), cohort.table
    drawn = table[table["mask_pixels"] > 0]
    counts = drawn["mask_notes"][drawn["mask_notes"] != ""].value_counts()
    for note, n in counts.items():
        found.warn(f"{n} of {len(drawn)} masks: {note}.")
    share = drawn["mask_pixels"] / (drawn["height"] * drawn["width"])
    if len(drawn):
        found.facts.append(f"masks cover {share.median():.1%} of a slice (median), at most "
                           f"{share.max():.1%}")  # fmt: skip
        inverted = (drawn["mask_corners"] >= 3).mean()
        if share.median() > 0.5 or inverted > 0.5:
            raise InputError(
                f"Expected masks of a tumor, got masks that cover {share.median():.0%} of the "
                "slices: are they inverted? Inside the tumor they have to be other than 0, "
                "outside 0."
            )
    shapes = table[["height", "width"]].drop_duplicates()
    tall = (table["height"] != table["width"]).sum()
    if size is not None and tall and size[0] == size[1]:
        how = "padded to squares" if fit == "pad" else "stretched to squares"
        other = "stretch" if fit == "pad" else "pad"
        found.warn(f"{tall} of {len(table)} slices are not square (such as "
                   f"{shapes.iloc[0].tolist()}): they are {how}; --fit {other} does otherwise. "
                   "Take what your classifier was trained on.")  # fmt: skip
    if (table["channels"] > 1).any():
        n, most = (table["channels"] > 1).sum(), table["channels"].max()
        found.warn(
            f"{n} slices have {most} channels that differ: all are handed to the classifier (a "
            "column channel takes one)."
        )
    _background(found, table, scale, air)
    _heads(found, prepared)
    patients = table.groupby("label")["person_id"].nunique()
    few = [cohort.classes[k] for k, n in patients.items() if n < MIN_PERSONS]
    if few:
        found.warn(f"Fewer than {MIN_PERSONS} patients, too few for a verdict: {', '.join(few)}.")
    return found


def _background(found, table, scale, air):
    span = (table["highest"] - table["lowest"]).replace(0, np.nan)
    above = (table["border"] - table["lowest"]) / span
    if air is None and (above > 0.02).mean() > 0.5:
        value = table["border"].median()
        found.warn(
            f"The background is {value:g}, but the slices' darkest pixel is "
            f"{table['lowest'].median():g}: air is taken to be the darkest, so the head would be "
            f"the whole slice and shams would lie in air. Give --scale raw --air {value:g}.",
            serious=True,
        )


def _heads(found, prepared):
    """Where the masks of the sample lie in the heads that are found."""
    inside, covers, of_head = [], [], []
    for image, mask in zip(prepared.slices, prepared.masks, strict=True):
        where = head.head_mask(sites.gray(image))
        covers.append(where.mean())
        if mask.any():
            inside.append(where[mask].mean())
            of_head.append(mask.sum() / max(where.sum(), 1))
    if inside:
        found.facts.append(f"{np.median(of_head):.1%} of the head is tumor (median), "
                           f"{np.median(inside):.0%} of a mask lies in the head")  # fmt: skip
        lost = np.mean(np.array(inside) < 0.5)
        if lost > 0.2:
            found.warn(f"{lost:.0%} of the masks lie mostly outside the head that is found: are "
                       "they turned or mirrored against their slices? Look at the contact sheet.",
                       serious=lost > 0.5)  # fmt: skip
    if np.median(covers) > 0.97:
        found.warn("The head that is found fills the whole slice: shams may lie in air. See --air.")


def vanished(cohort, prepared):
    """IDs of slices whose mask has pixels as stored and none as prepared."""
    empty = ~prepared.masks.any(axis=(1, 2))
    return set(prepared.table["slice_id"][empty & (prepared.table["mask_pixels"] > 0).to_numpy()])


def of_classifier(found, model, cohort, *, output, options, seed=0):
    """Checks of a classifier on the sample: does it answer twice alike, and on which scale?

    Parameters
    ----------
    found : Findings
        Of the slices; gets warnings, facts and the table of scales.
    model : models.Model
    cohort : Cohort
        The sample as stored.
    output : str
    options : dict
        size_px, scale, fit, air of :func:`inputs.prepare`.

    Returns
    -------
    Probabilities
        To be audited.

    Raises
    ------
    InputError
        If answers change from call to call, or with the other slices of a batch.
    """
    prepared, rng = found.sample, np.random.default_rng(seed)
    predict = Probabilities(model.raw, cohort.classes, output, model.name)
    shown = inputs.with_air(predict, options["air"])
    n = min(len(prepared.slices), 16)
    batch = np.ascontiguousarray(prepared.slices[rng.permutation(len(prepared.slices))[:n]])
    first, again = shown(batch.copy()), shown(batch.copy())
    gap = np.abs(first - again).max()
    if gap > SAME:
        raise InputError(
            f"{model.name} answers the same slices differently when asked twice (by up to "
            f"{gap:.2f}): is dropout on? Call model.eval(), or pass training=False."
        )
    order = rng.permutation(n)[: max(1, n // 2 + 1)]
    gaps = [np.abs(first[some] - shown(batch[some].copy())).max() for some in (order, order[:1])]
    gap = max(gaps)
    if gap > ALONE:
        raise InputError(
            f"{model.name} answers a slice differently in another batch (by up to {gap:.2f}): are "
            "batch statistics in use? Call model.eval(), or pass training=False."
        )
    found.scales = _by_scale(model, cohort, output, options)
    for note in [*(model.notes or ()), *predict.notes]:
        found.warn(f"{note}.")
    p = answers_to(shown, prepared.slices)
    accuracy = (p.argmax(axis=1) == prepared.labels).mean()
    found.facts.append(f"accuracy on {len(p)} slices looked at: {accuracy:.0%}")
    best = found.scales.dropna().sort_values("accuracy", kind="stable").tail(1)
    advice, ordered = better_order(prepared.labels, p.argmax(axis=1), cohort.classes)
    if len(best) and best["accuracy"].iloc[0] - max(accuracy, ordered) > BETTER:
        scale, share = best[["scale", "accuracy"]].iloc[0]
        found.warn(
            f"With --scale {scale} the accuracy is {share:.0%}, with {options['scale']} "
            f"{accuracy:.0%}: which was the classifier trained on?",
            serious=True,
        )
    elif advice:
        found.warn(advice, serious=True)
    return predict


def answers_to(predict, slices, batch_size=32):
    return np.concatenate([predict(np.array(slices[i : i + batch_size]))
                           for i in range(0, len(slices), batch_size)])  # fmt: skip


def _by_scale(model, cohort, output, options):
    """Accuracy on the sample under each scale; NaN where the classifier refuses it."""
    lines = []
    for scale in inputs.SCALES if options["air"] is None else ():
        try:
            prepared = inputs.prepare(cohort, **{**options, "scale": scale})
            p = answers_to(Probabilities(model.raw, cohort.classes, output, model.name),
                           prepared.slices)  # fmt: skip
            lines.append((scale, (p.argmax(axis=1) == prepared.labels).mean()))
        except InputError:
            lines.append((scale, np.nan))
    return pd.DataFrame(lines, columns=["scale", "accuracy"])


def better_order(labels, given, classes):
    """A warning ("" if none) if another order of the classes would be far more accurate, and its
    accuracy.

    Examples
    --------
    >>> better_order(np.array([0, 0, 1]), np.array([1, 1, 0]), ["a", "b"])[0].partition(":")[0]
    "Check the order of your classifier's outputs"
    """
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (labels, given), 1)
    true, best = linear_sum_assignment(counts, maximize=True)
    now, then = np.trace(counts) / counts.sum(), counts[true, best].sum() / counts.sum()
    if then - now <= 0.2:
        return "", now
    order = np.array(classes, object)[np.argsort(best)]
    return (
        f"Check the order of your classifier's outputs: read as {', '.join(classes)} it names "
        f"{now:.0%} of the slices correctly; read as {', '.join(order)} it would be {then:.0%} "
        "(--classes)."
    ), then


def predicted(model_predict, prepared, n_slices, edits, n_places, batch_size, n_extra=0):
    """Seconds and bytes that the audit will take, measured on a few slices.

    Parameters
    ----------
    model_predict : callable
    prepared : Cohort
        The sample.
    n_slices : int
        Of the whole cohort.
    edits : sequence of Edit
    n_places, batch_size : int
    n_extra : int
        Further predictions, of re-drawn copies.
    """
    few = [i for i in range(len(prepared.slices)) if prepared.masks[i].any()][:3]
    start, n_made = time.perf_counter(), 0
    for i in few:
        made = plan.edits_of(prepared.slices[i], prepared.masks[i], edits, n_places, (0, i))
        n_made += sum(edited is not None for _, edited in made)
    editing = (time.perf_counter() - start) / max(len(few), 1)
    batch = np.resize(prepared.slices, (min(batch_size, 32), *prepared.slices.shape[1:]))
    model_predict(batch.copy())
    start = time.perf_counter()
    model_predict(batch.copy())
    answering = (time.perf_counter() - start) / len(batch)
    per_slice = editing + answering * max(n_made / max(len(few), 1), 3)
    rows = n_slices * n_made / max(len(few), 1)
    memory = prepared.slices[0].nbytes * (100 + 4 * batch_size + N_SAMPLE) + 400 * rows
    return n_slices * per_slice + n_extra * answering, memory + 4e8  # libraries: about 0.4 GB
