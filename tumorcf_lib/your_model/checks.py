"""What is looked at before anything is measured: slices, masks, intensities, and the classifier."""

import sys
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from tumorcf_lib.edits import head, sites
from tumorcf_lib.your_model import InputError, nulls, page, slices

N_SAMPLE = 96
N_PIXELS = 6_000_000  # of the slices looked at, all together
SAME, ALONE = 1e-3, 0.02
"""How far answers may differ when asked twice, and when asked in another company."""

SURER = 0.2  # another scale is named if it is as accurate, and so much surer of the true class
BETTER = 0.15  # another scale or order is named if it gains so much accuracy


@dataclass
class Findings:
    """Warnings (of which the serious ones forbid a verdict), and the numbers behind them."""

    sample: object  # the Cohort that was looked at, prepared
    warnings: list = field(default_factory=list)
    serious: list = field(default_factory=list)
    facts: list = field(default_factory=list)
    scales: pd.DataFrame = None

    def warn(self, text, *, serious=False):
        print(f"Warning: {text}", file=sys.stderr, flush=True)
        self.warnings.append(text)
        self.serious += [text] if serious else []


def sample_of(cohort):
    """The slices that are looked at: every class in proportion, other patients first."""
    pixels = float((cohort.table["height"] * cohort.table["width"]).max())
    n = int(np.clip(N_PIXELS / pixels, 12, N_SAMPLE))
    some = nulls.chosen(cohort.labels, cohort.persons, n, np.random.default_rng(0))
    return cohort.subset(some)


# -- Slices and masks --------------------------------------------------------


def of_slices(cohort, prepared, settings) -> Findings:
    """Checks of slices and masks, by what reading them found and by a sample as prepared.

    `settings` are those of :func:`slices.prepare`.
    """
    found, table, size = Findings(prepared), cohort.table, settings["size_px"]
    drawn = table[table["mask_pixels"] > 0]
    masks = table["mask_notes"][(table["mask_pixels"] > 0) | (table["mask_notes"] != "")]
    for notes, what in ((table["slice_notes"], "slices"), (masks, "masks")):
        for note, n in notes[notes != ""].value_counts().items():
            found.warn(f"{n} of {len(notes)} {what}: {note}.")
    if len(drawn):
        share = drawn["mask_pixels"] / (drawn["height"] * drawn["width"])
        median, most = share.median(), share.max()
        found.facts.append(f"masks cover {median:.1%} of a slice (median), at most {most:.1%}")
        if median > 0.5:
            raise InputError(
                f"Expected masks of a tumor, got masks that cover {median:.0%} of the slices: are "
                "they inverted? They are 0 outside the tumor, and other than 0 inside."
            )
    n_twice = int(table["checksum"].duplicated().sum())
    if n_twice:
        found.warn(
            f"{n_twice} of {len(table)} slices have the pixels and the mask of another one: copies "
            "count twice, and as another patient if their ID differs. Delete them."
        )
    outlines = [mask.tobytes() for mask in prepared.masks if mask.any()]
    if len(set(outlines)) < len(outlines) / 2:
        found.warn(
            f"{len(outlines)} slices looked at have {len(set(outlines))} different masks: is one "
            "mask given for all? Each slice needs the outline of its own tumor.",
            serious=True,
        )
    oblong = table.loc[table["height"] != table["width"], ["height", "width"]]
    if size is not None and len(oblong) and size[0] == size[1]:
        found.warn(
            f"{len(oblong)} of {len(table)} slices are not square (such as "
            f"{oblong.iloc[0].tolist()}): --fit {settings['fit']} makes them so. Choose what your "
            "classifier was trained on: pad or stretch."
        )
    above = (table["border"] - table["lowest"]) / (table["highest"] - table["lowest"])
    if settings["air"] is None and (above > 0.02).mean() > 0.5:
        air, darkest = table["border"].median(), table["lowest"].median()
        found.warn(
            f"The background is {air:g}, but the slices' darkest pixel is {darkest:g}: air is "
            "taken to be the darkest, so the head would be the whole slice and shams would lie in "
            f"air. Give --scale raw --air {air:g}.",
            serious=True,
        )
    lost = _outside_heads(prepared)
    if lost > 0.2:
        found.warn(
            f"{lost:.0%} of the masks lie mostly outside the head that is found: are they turned "
            "or mirrored against their slices? Look at the contact sheet.",
            serious=lost > 0.5,
        )
    n_lost = len(vanished(prepared))
    if n_lost:
        found.warn(
            f"{n_lost} of {len(prepared)} masks looked at vanish at {prepared.masks.shape[1]} px: "
            "give a larger --size.",
            serious=n_lost > len(prepared) / 2,
        )
    return found


def _outside_heads(prepared):
    """Share of the masks that lie mostly outside the head that is found; 0 without masks."""
    drawn = [pair for pair in zip(prepared.slices, prepared.masks) if pair[1].any()]
    inside = [head.head_mask(sites.gray(image))[mask].mean() for image, mask in drawn]
    return np.mean(np.array(inside) < 0.5) if inside else 0.0


def vanished(prepared):
    """IDs of slices whose mask has pixels as stored and none as prepared."""
    table, empty = prepared.table, ~prepared.masks.any(axis=(1, 2))
    return set(table["slice_id"][empty & (table["mask_pixels"] > 0).to_numpy()])


# -- The classifier ----------------------------------------------------------


def of_classifier(found, new_predict, cohort, settings):
    """Checks of a classifier on the sample: does it answer twice alike, and on which scale?

    `new_predict` makes a :class:`adapter.Probabilities` that has seen no slice; the one of the
    right scale is returned. `found` gets warnings, facts and the table of scales; `cohort` is the
    sample as stored. An InputError if answers change from call to call, or with the other slices
    of a batch.
    """
    prepared, rng, predict = found.sample, np.random.default_rng(0), new_predict()
    shown = slices.with_air(predict, settings["air"])
    batch = prepared.slices[rng.permutation(len(prepared.slices))[:16]]
    first = shown(batch)
    again = np.abs(first - shown(batch)).max()
    few = range(min(len(batch), 4))
    alone = max(np.abs(first[k] - shown(batch[k : k + 1])[0]).max() for k in few)
    dark = np.full((5, *batch.shape[1:]), batch[0].min())
    dark[0] = batch[0]  # whose statistics are its own, though z-scored
    alone = max(alone, np.abs(first[0] - shown(dark)[0]).max())
    for gap, limit, words in (
        (again, SAME, "the same slices differently when asked twice: is dropout on"),
        (alone, ALONE, "a slice differently in another batch: are batch statistics in use"),
    ):
        if gap > limit:
            raise InputError(
                f"{predict.name} answers {words}? Answers differ by up to {gap:.2f}. Call "
                "model.eval(), or pass training=False."
            )
    found.scales = _by_scale(new_predict, cohort, settings)
    if predict.note:
        found.warn(f"{predict.note}.")
    p = shown(prepared.slices)
    accuracy, _ = _sure(p, prepared.labels)
    found.facts.append(f"answers taken as {predict.kind}")
    found.facts.append(f"accuracy on {len(p)} slices looked at: {accuracy:.0%}")
    _advise(found, p, prepared.labels, cohort.classes, settings["scale"])
    return predict


def _by_scale(new_predict, cohort, settings):
    """Accuracy and median probability of the true class on the sample under each scale; NaN where
    the classifier refuses it."""
    lines = []
    for scale in slices.SCALES if settings["air"] is None else ():
        try:
            prepared = slices.prepare(cohort, **{**settings, "scale": scale})
            lines.append((scale, *_sure(new_predict()(prepared.slices), prepared.labels)))
        except InputError:
            lines.append((scale, np.nan, np.nan))
    return pd.DataFrame(lines, columns=["scale", "accuracy", "p"])


def _sure(p, labels):
    own = p[np.arange(len(p)), labels]
    return (p.argmax(axis=1) == labels).mean(), np.median(own)


def _advise(found, p, labels, classes, used):
    """A warning if another scale, or another order of the classes, fits the classifier better; also
    if it is as accurate and far surer on another scale: on one that it was not trained on, an
    answer may barely move whatever is edited."""
    accuracy, sure = _sure(p, labels)
    advice, ordered = better_order(labels, p.argmax(axis=1), classes)
    others = found.scales[found.scales["scale"] != used].dropna()
    for best in others.sort_values(["accuracy", "p"]).tail(1).itertuples():
        is_better = best.accuracy > max(accuracy, ordered) + BETTER
        is_surer = best.accuracy >= accuracy and best.p > sure + SURER and not advice
        advice = "" if is_better else advice
        if is_better or is_surer:
            found.warn(
                f"With --scale {best.scale} the accuracy is {best.accuracy:.0%} and the true "
                f"class's probability {best.p:.2f} (median), with {used} {accuracy:.0%} and "
                f"{sure:.2f}. Which was the classifier trained on?",
                serious=is_better,
            )
    if advice:
        found.warn(advice, serious=True)


def better_order(labels, given, classes):
    """A warning ("" if none) if another order of the classes would be far more accurate, and its
    accuracy.

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
    words = (
        f"Check the order of your classifier's outputs: read as {', '.join(classes)} it names "
        f"{now:.0%} of the slices correctly; read as {', '.join(order)}, {then:.0%} (--classes)."
    )
    return words, then


def looked_at(found):
    """What the page of ``--check`` shows of a classifier."""
    scales = found.scales.rename(columns={"p": "P of the true class (median)"})
    sheet = page.contact_sheet(found.sample)
    return {"facts": found.facts, "warnings": found.warnings, "scales": scales, "sheet": sheet}
