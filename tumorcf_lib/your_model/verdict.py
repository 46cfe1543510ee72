"""May one say that the decision leans on the tumor?

The effect of a class is how far its probability falls when the tumor is taken out, beyond a sham
of the same shape, and beyond what the same does to the *other* classes' slices (their drift): a
network that only notices a dark patch moves all slices alike and has none. Where one class alone
has tumors (tumor or none), shams and networks that know nothing are all that it is held against.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from tumorcf_lib.edits import scores
from tumorcf_lib.stats import estimates, persons
from tumorcf_lib.stats.rows import headline_rows

LEANS, DOES_NOT, UNKNOWN = "leans on the tumor", "does not lean on it", "cannot be told"
MIN_PERSONS = 10
SATURATED = 0.99  # a median P of the true class above it: log-odds lead
RELEVANT = {"probability": 0.05, "log-odds": 0.2}
"""An effect below it is none: 5 points of probability, and what they are at P = 0.5 in log-odds."""

N_RESAMPLES, N_PERMUTATIONS = 2000, 500
NO_TUMOR = ("no tumor", "no tumour", "notumor", "no_tumor", "none", "normal", "healthy", "negative")


@dataclass
class Answers:
    """What a classifier said, one row a slice; NaN where an edit was not made."""

    classes: tuple
    labels: np.ndarray  # (n,)
    persons: np.ndarray  # (n,)
    original: np.ndarray  # (n, n_classes)
    removed: np.ndarray  # (n, n_classes)
    shams: np.ndarray  # (n, n_places, n_classes)

    @property
    def edited(self):
        """Slices whose tumor could be taken out, and that have a sham."""
        return np.isfinite(self.removed[:, 0]) & np.isfinite(self.shams[:, :, 0]).any(axis=1)

    def table(self):
        """Patient and label of each slice, as :mod:`stats.estimates` takes them."""
        return pd.DataFrame({"person_id": self.persons, "label": self.labels})


def answers_of(rows, classes) -> Answers:
    """The answers in an audit's rows, at the headline infill and dilation."""
    rows = headline_rows(rows)
    first = rows[rows["edit"] == "original"]
    who, (labels, original) = first["person_id"].to_numpy(str), scores.arrays(first)
    removed, shams = (_by_place(rows, edit, first["slice_id"]) for edit in ("remove", "sham"))
    return Answers(tuple(classes), labels, who, original, removed[:, 0], shams)


def _by_place(rows, edit, slice_ids):
    """Answers to an edit, (n, n_places, n_classes); one that has no place stands at the first."""
    own = rows[(rows["edit"] == edit) & (rows["reason"] == "")]
    place, (_, p) = own["place"].clip(lower=0).to_numpy(int), scores.arrays(own)
    found = np.full((len(slice_ids), max(place, default=0) + 1, p.shape[1]), np.nan)
    found[pd.Index(slice_ids).get_indexer(own["slice_id"]), place] = p
    return found


@dataclass
class Verdict:
    """The word, why, and the numbers behind it."""

    word: str
    why: str
    numbers: dict = field(default_factory=dict)

    def __str__(self):
        return f"{self.word} ({self.why})" if self.word == UNKNOWN else self.word


def judged(answers, null, *, n_resamples=N_RESAMPLES) -> Verdict:
    """The verdict: every gate has to be passed before "leans" is said.

    `null`: the Answers of networks that know nothing on these slices or some of them. The
    verdict's ``numbers``: accuracy, skill (above chance), effect, own, drift, each (value, low,
    high); chance, scale, p_permuted, sham_effect; null (their number, largest effect, bound).
    """
    scale = scale_of(answers)
    numbers = {"scale": scale, **_accuracy(answers, n_resamples)}
    if not answers.edited.any():
        return Verdict(UNKNOWN, "no slice has a tumor that can be taken out and a sham", numbers)
    numbers |= _effect(answers, scale, n_resamples)
    numbers["p_permuted"] = _permuted(answers, scale)
    numbers["sham_effect"] = _of_shams(answers, scale)
    effects = [effect(one, scale) for one in null]
    numbers["null"] = len(effects), max(effects), bound(effects)
    return Verdict(*worded(answers, numbers), numbers)


def worded(answers, numbers):
    """The word and why, by the numbers of :func:`judged`."""
    (value, low, high), margin = numbers["effect"], RELEVANT[numbers["scale"]]
    least = answers.table()[answers.edited].groupby("label")["person_id"].nunique().min()
    if least < MIN_PERSONS:
        return UNKNOWN, f"a class has tumors of {least} patients, {MIN_PERSONS} are needed"
    if not numbers["skill"][1] > 0:
        return UNKNOWN, (
            f"its accuracy, {numbers['accuracy'][0]:.0%}, is not clearly above the "
            f"{numbers['chance']:.0%} of chance"
        )
    if high < margin:
        return DOES_NOT, f"the effect is below {margin} in every likely case"
    if low <= 0 or numbers["p_permuted"] > 0.01:
        return UNKNOWN, "the effect is not clearly above 0 for other patients"
    if value <= margin:
        return UNKNOWN, f"the effect, {value:.2f}, is hardly relevant"
    if value <= numbers["sham_effect"]:
        return UNKNOWN, "one sham differs from another by as much"
    return LEANS if value > numbers["null"][2] else UNKNOWN, compared(numbers)


def compared(numbers):
    """The effect beside that of networks that know nothing, with digits that tell them apart."""
    value, (n, largest, reach) = numbers["effect"][0], numbers["null"]
    digits = next((d for d in range(3, 9) if round(value, d) != round(reach, d)), 3)
    own, most, end = (f"{round(x, digits) + 0.0:.{digits}f}" for x in (value, largest, reach))
    return (
        f"the effect, {own}, is {'' if value > reach else 'not '}beyond {end}: of {n} random "
        "networks, which know nothing and are as confident, the largest effect on these slices is "
        f"{most}, and about one in a hundred would exceed {end}"
    )


def bound(values):
    """What one more network that knows nothing exceeds in about one of a hundred cases: the larger
    of the largest value and of Student's upper 1 % for one more draw.

    >>> bound([0.0, 0.0]) == 0.0 and bound([-1.0, 1.0]) > 1
    True
    """
    values = np.asarray(values, np.float64)
    m = len(values)
    reach = stdtrit(m - 1, 0.99) * values.std(ddof=1) * np.sqrt(1 + 1 / m)
    return float(max(values.max(), values.mean() + reach))


def scale_of(answers):
    """Log-odds where the classifier is so sure that probabilities cannot move; hard labels do."""
    p_true = answers.original[np.arange(len(answers.labels)), answers.labels]
    hard = np.isin(answers.original, (0, 1)).all()
    return "log-odds" if np.median(p_true) > SATURATED and not hard else "probability"


def effect(answers, scale):
    """The effect over all slices with an edit: see the head of this module."""
    own, drift = _fall(*_drops(answers, scale), np.sum)
    return float(own - drift)


def kept(answers) -> pd.DataFrame:
    """Whether each slice keeps its answer without its tumor (kept), and with which share of its
    shams (kept_sham); NaN unless both edits were made."""
    first, known = answers.original.argmax(axis=1), np.isfinite(answers.shams[:, :, 0])
    same = _is_answer(answers.shams, first[:, None]) & known
    with_sham = same.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    without = _is_answer(answers.removed, first) * 1.0
    made = pd.DataFrame({"kept": without, "kept_sham": with_sham})
    made.loc[~answers.edited] = np.nan
    return made


def _is_answer(p, k):
    """Whether class k has the largest probability, and no other has as much."""
    return (p.argmax(axis=-1) == k) & ((p == p.max(axis=-1, keepdims=True)).sum(axis=-1) == 1)


def first_line(answers):
    """The plainest numbers, in one sentence."""
    edited, no_tumor = answers.edited, no_tumor_class(answers)
    if not edited.any():
        return "No slice has a tumor that could be taken out."
    end = "the classifier has no answer 'no tumor'"
    if no_tumor is not None:
        n_called = (answers.removed[edited].argmax(axis=1) == no_tumor).sum()
        end = f"{n_called} of {edited.sum()} are called {answers.classes[no_tumor]!r}"
    share = kept(answers).mean()
    return (
        f"{share['kept']:.0%} of the slices keep their answer without their tumor "
        f"({share['kept_sham']:.0%} with a sham of the same shape); {end}."
    )


def no_tumor_class(answers):
    """Index of the class that means "no tumor": by its name, else the one without any tumor."""
    for k, name in enumerate(answers.classes):
        if name.casefold().strip() in NO_TUMOR:
            return k
    with_tumor = set(answers.labels[np.isfinite(answers.removed[:, 0])])
    without = sorted(set(answers.labels) - with_tumor)
    return without[0] if len(without) == 1 and with_tumor else None


def _drops(answers, scale):
    """Sham minus removed for every class, (n_edited, n_classes), and the labels."""
    edited = answers.edited
    shams, removed = answers.shams[edited], answers.removed[edited]
    if scale == "log-odds":
        shams, removed = scores.log_odds(shams), scores.log_odds(removed)
    return np.nanmean(shams, axis=1) - removed, answers.labels[edited]


def _fall(drops, labels, total):
    """How far classes fall on their own slices, and on all others: means over slices.

    `total` sums a number a slice: np.sum, or the sums of resamples of patients.
    """
    own = drift = total(np.zeros(len(labels)))
    for k in np.unique(labels):
        mine = labels == k
        own = own + mine.mean() * total(mine * drops[:, k]) / total(mine * 1.0)
        if not mine.all():
            drift = drift + mine.mean() * total(~mine * drops[:, k]) / total(~mine * 1.0)
    return own, drift


def _resampled(table, n_resamples):
    """A function that sums a number a slice, of the sample and of each resample of patients, and
    one that makes a value with its interval of such."""
    people, counts = estimates.drawn(table, n_resamples)

    def total(values):
        return counts @ people.total(values)

    def with_interval(replicates):
        return float(replicates[0]), *persons.interval(replicates[1:], *people.free)

    return total, with_interval


def _accuracy(answers, n_resamples):
    """Accuracy, chance (what the same answers would reach if dealt anew), and their difference."""
    given, labels = answers.original.argmax(axis=1), answers.labels
    table = answers.table().assign(right=given == labels)
    right = estimates.share(table, "right", n_resamples=n_resamples)
    total, with_interval = _resampled(table, n_resamples)
    n = total(np.ones(len(given)))
    dealt = [total((given == k) * 1.0) * total((labels == k) * 1.0) for k in np.unique(labels)]
    chance = sum(dealt) / n**2
    skill = with_interval(total((given == labels) * 1.0) / n - chance)
    if skill[2] - skill[1] <= persons.ROUNDING:  # no resample differs from the sample
        ends = persons.exact_interval(right.value, right.n_persons)
        skill = tuple(float(end - chance[0]) for end in (right.value, *ends))
    accuracy = right.value, right.low, right.high
    return {"accuracy": accuracy, "chance": float(chance[0]), "skill": skill}


def _effect(answers, scale, n_resamples):
    drops, labels = _drops(answers, scale)
    total, with_interval = _resampled(answers.table()[answers.edited], n_resamples)
    own, drift = _fall(drops, labels, total)
    found = {"effect": own - drift, "own": own, "drift": drift}
    return {name: with_interval(replicates) for name, replicates in found.items()}


def shuffled(labels, owner, rng):
    """Labels (n,), shuffled over the patients; `owner` (n,) is each slice's patient, from 0 on."""
    own = np.zeros(owner.max() + 1, int)
    own[owner] = labels
    return rng.permutation(own)[owner]


def _permuted(answers, scale):
    """Share of permutations of the patients' labels whose effect is as large; where tumors are of
    one class, of its patients' falls with signs drawn by chance."""
    (drops, labels), rng = _drops(answers, scale), np.random.default_rng(0)
    names, owner = np.unique(answers.persons[answers.edited], return_inverse=True)
    seen, n_as_large = effect(answers, scale), 0
    is_one_class = len(np.unique(labels)) == 1
    for _ in range(N_PERMUTATIONS):
        if is_one_class:
            signs = rng.choice([-1.0, 1.0], len(names))[owner]
            own, drift = _fall(drops * signs[:, None], labels, np.sum)
        else:
            own, drift = _fall(drops, shuffled(labels, owner, rng), np.sum)
        n_as_large += own - drift > seen - persons.ROUNDING
    return (1 + n_as_large) / (1 + N_PERMUTATIONS)


def _of_shams(answers, scale):
    """The largest effect of a sham measured against the others: what chance alone makes. NaN
    where slices have but one."""
    n_places, found = answers.shams.shape[1], []
    for k in range(min(n_places, 5) if n_places > 1 else 0):
        others = np.delete(answers.shams, k, axis=1)
        one = replace(answers, removed=answers.shams[:, k], shams=others)
        if one.edited.sum() >= MIN_PERSONS:
            found.append(effect(one, scale))
    return max(0.0, *found) if found else np.nan
