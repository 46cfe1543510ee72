"""May one say that the decision leans on the tumor?

The effect of a class is how far its probability falls when the tumor is taken out, beyond a sham
of the same shape, and beyond what the same does to the *other* classes' slices (their drift): a
network that only notices a dark patch moves all slices alike and has none.
"""

from dataclasses import dataclass, field

import numpy as np

from tumorcf_lib.edits import scores
from tumorcf_lib.stats import persons as resampling
from tumorcf_lib.your_model import nulls

LEANS, DOES_NOT, UNKNOWN = "leans on the tumor", "does not lean on it", "cannot be told"
MIN_PERSONS = 10
SATURATED = 0.99  # a median P of the true class above it: log-odds lead
RELEVANT = {"probability": 0.05, "log-odds": 0.2}
"""An effect below it is none: 5 points of probability, and what they are at P = 0.5 in log-odds."""

N_RESAMPLES, N_PERMUTATIONS = 2000, 500
NO_TUMOR = ("no tumor", "no tumour", "notumor", "no_tumor", "none", "normal", "healthy", "negative")


@dataclass
class Answers:
    """What a classifier said, one row a slice; NaN where an edit was not made.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    persons : ndarray of str, shape (n,)
    original, removed : ndarray of float, shape (n, n_classes)
    shams : ndarray of float, shape (n, n_places, n_classes)
    """

    classes: tuple
    labels: np.ndarray
    persons: np.ndarray
    original: np.ndarray
    removed: np.ndarray
    shams: np.ndarray

    @property
    def edited(self):
        """Slices whose tumor could be taken out, and that have a sham."""
        return np.isfinite(self.removed[:, 0]) & np.isfinite(self.shams[:, :, 0]).any(axis=1)


def answers_of(rows, classes, *, infill="navier_stokes") -> Answers:
    """The answers in an audit's rows, at dilation 0."""
    columns = [f"p_{name}" for name in classes]
    rows = rows[(rows["dilation_px"] == 0) & rows["infill"].isin(("", infill))]
    first = rows[rows["edit"] == "original"]
    position = {slice_id: i for i, slice_id in enumerate(first["slice_id"])}
    n, n_places = len(first), int(max(rows["place"].max(), 0)) + 1
    removed = np.full((n, len(classes)), np.nan)
    shams = np.full((n, n_places, len(classes)), np.nan)
    for edit, target in (("remove", removed), ("sham", shams)):
        own = rows[(rows["edit"] == edit) & (rows["reason"] == "")]
        at = own["slice_id"].map(position).to_numpy(int)
        where = (at,) if edit == "remove" else (at, own["place"].to_numpy(int))
        target[where] = own[columns].to_numpy(float)
    names = list(classes)
    labels = np.array([names.index(label) for label in first["label"]])
    return Answers(tuple(classes), labels, first["person_id"].to_numpy(str),
                   first[columns].to_numpy(float), removed, shams)  # fmt: skip


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

    Parameters
    ----------
    answers : Answers
        Of all slices.
    null : dict of str to list of Answers
        Networks that know nothing, by kind, on the same slices or some of them.
    n_resamples : int

    Returns
    -------
    Verdict
        ``numbers``: accuracy, chance, effect, own, drift (each (value, low, high) but for
        chance), scale, p_permuted, sham_effect, null (by kind: n, bound).
    """
    scale = scale_of(answers)
    numbers = {"scale": scale, **_accuracy(answers, n_resamples)}
    edited = answers.edited
    least = min((len(set(answers.persons[edited & (answers.labels == k)]))
                 for k in set(answers.labels[edited])), default=0)  # fmt: skip
    if not edited.any():
        return Verdict(UNKNOWN, "no slice has a tumor that can be taken out and a sham", numbers)
    numbers |= _effect(answers, scale, n_resamples)
    numbers["p_permuted"] = _permuted(answers, scale)
    numbers["sham_effect"] = _of_shams(answers, scale)
    numbers["null"] = {
        kind: (len(found), nulls.bound([effect(one, scale) for one in found]))
        for kind, found in null.items() if len(found) > 1
    }  # fmt: skip
    value, low, high = numbers["effect"]
    margin = RELEVANT[scale]
    reach = max([bound for _, bound in numbers["null"].values()], default=np.inf)
    if least < MIN_PERSONS:
        return Verdict(UNKNOWN, f"a class has tumors of {least} patients, {MIN_PERSONS} are needed",
                       numbers)  # fmt: skip
    skill, skill_low, _ = numbers["skill"]
    if not skill_low > 0:
        return Verdict(UNKNOWN, f"its accuracy, {numbers['accuracy'][0]:.0%}, is not clearly above "
                       f"the {numbers['chance']:.0%} of chance", numbers)  # fmt: skip
    if high < margin:
        return Verdict(DOES_NOT, f"the effect is below {margin} in every likely case", numbers)
    if low <= 0 or numbers["p_permuted"] > 0.01:
        return Verdict(UNKNOWN, "the effect is not clearly above 0 for other patients", numbers)
    if value <= margin:
        return Verdict(UNKNOWN, f"the effect, {value:.2f}, is hardly relevant", numbers)
    if value <= numbers["sham_effect"]:
        return Verdict(UNKNOWN, "one sham differs from another by as much", numbers)
    if value <= reach:
        return Verdict(UNKNOWN, f"the effect is {value:.2f}, and networks that know nothing reach "
                       f"{reach:.2f} on these slices", numbers)  # fmt: skip
    return Verdict(LEANS, f"the effect is {value:.2f} [{low:.2f}, {high:.2f}], and networks that "
                   f"know nothing reach {reach:.2f} on these slices", numbers)  # fmt: skip


def scale_of(answers):
    """"log-odds" where the classifier is so sure that probabilities cannot move."""
    p_true = answers.original[np.arange(len(answers.labels)), answers.labels]
    return "log-odds" if np.median(p_true) > SATURATED else "probability"


def effect(answers, scale):
    """The effect over all slices with an edit: see the head of this module."""
    drops, labels = _drops(answers, scale)
    total = 0.0
    for k in np.unique(labels):
        own, others = drops[labels == k, k], drops[labels != k, k]
        total += len(own) * (own.mean() - (others.mean() if len(others) else 0.0))
    return total / len(labels)


def shares(answers, no_tumor=None):
    """How many slices keep their answer without their tumor, with a sham, and are "no tumor".

    Returns
    -------
    dict
        n (slices), kept, kept_sham (shares), n_no_tumor (None without such a class).
    """
    edited = answers.edited
    first, removed = (a[edited].argmax(axis=1) for a in (answers.original, answers.removed))
    shams = answers.shams[edited]
    known = np.isfinite(shams[:, :, 0])
    same = (np.where(np.isfinite(shams), shams, -1).argmax(axis=2) == first[:, None]) & known
    n = int(edited.sum())
    return {
        "n": n, "kept": float((first == removed).mean()) if n else np.nan,
        "kept_sham": float((same.sum(axis=1) / known.sum(axis=1)).mean()) if n else np.nan,
        "n_no_tumor": None if no_tumor is None else int((removed == no_tumor).sum()),
    }  # fmt: skip


def first_line(answers, no_tumor=None):
    """The plainest numbers, in one sentence."""
    s = shares(answers, no_tumor)
    if not s["n"]:
        return "No slice has a tumor that could be taken out."
    end = "the classifier has no answer 'no tumor'"
    if no_tumor is not None:
        end = f"{s['n_no_tumor']} of {s['n']} are called {answers.classes[no_tumor]!r}"
    return (
        f"{s['kept']:.0%} of the slices keep their answer without their tumor "
        f"({s['kept_sham']:.0%} with a sham of the same shape); {end}."
    )


def no_tumor_class(answers):
    """Index of the class that means "no tumor": by its name, else the one without any tumor."""
    for k, name in enumerate(answers.classes):
        if name.casefold().strip() in NO_TUMOR:
            return k
    with_tumor = set(answers.labels[np.isfinite(answers.removed[:, 0])])
    without = sorted(set(answers.labels) - with_tumor)
    return without[0] if len(without) == 1 and with_tumor else None


def over_patients(values, persons, labels, n_resamples=N_RESAMPLES):
    """Mean over slices with its 95 % interval over patients, drawn within classes."""
    values, people = resampling.checked(values, persons, labels)
    counts = people.draw(n_resamples)
    sums, sizes = people.total(values), people.total(np.ones(len(values)))
    free = len(people.names), len(people.names) - len(np.unique(people.stratum))
    return (float(values.mean()), *resampling.interval((counts @ sums) / (counts @ sizes), *free))


def _scaled(p, scale):
    return p if scale == "probability" else scores.log_odds(p)


def _drops(answers, scale):
    """Sham minus removed for every class, (n_edited, n_classes), and the labels."""
    edited = answers.edited
    with np.errstate(invalid="ignore"):
        shams = np.nanmean(_scaled(answers.shams[edited], scale), axis=1)
    return shams - _scaled(answers.removed[edited], scale), answers.labels[edited]


def _accuracy(answers, n_resamples):
    """Accuracy, chance (what the same answers would reach if dealt anew), and their difference."""
    n_classes = len(answers.classes)
    predicted = answers.original.argmax(axis=1)
    right = (predicted == answers.labels).astype(float)
    right, people = resampling.checked(right, answers.persons, answers.labels)
    counts = people.draw(n_resamples)
    given, true = (
        np.stack([people.total((x == k).astype(float)) for k in range(n_classes)], axis=1)
        for x in (predicted, answers.labels)
    )
    n = counts @ people.total(np.ones(len(right)))
    hits = (counts @ people.total(right)) / n
    dealt = ((counts @ given) * (counts @ true)).sum(axis=1) / n**2
    chance = float((given.sum(axis=0) * true.sum(axis=0)).sum() / len(right) ** 2)
    free = len(people.names), len(people.names) - len(np.unique(people.stratum))
    accuracy = float(right.mean())
    return {
        "accuracy": (accuracy, *resampling.interval(hits, *free)), "chance": chance,
        "skill": (accuracy - chance, *resampling.interval(hits - dealt, *free)),
    }  # fmt: skip


def _effect(answers, scale, n_resamples):
    drops, labels = _drops(answers, scale)
    n = len(labels)
    _, people = resampling.checked(np.zeros(n), answers.persons[answers.edited], labels)
    counts = people.draw(n_resamples)
    own, drift = np.zeros(n_resamples), np.zeros(n_resamples)
    value_own = value_drift = 0.0
    for k in np.unique(labels):
        is_own = labels == k
        share = is_own.mean()
        for group, sign in ((is_own, 1), (~is_own, 0)):
            if not group.any():
                continue
            sums, sizes = people.total(np.where(group, drops[:, k], 0)), people.total(group)
            with np.errstate(invalid="ignore", divide="ignore"):
                replicates = (counts @ sums) / (counts @ sizes)
            value = drops[group, k].mean()
            if sign:
                own, value_own = own + share * replicates, value_own + share * value
            else:
                drift, value_drift = drift + share * replicates, value_drift + share * value
    free = len(people.names), len(people.names) - len(np.unique(people.stratum))
    return {
        name: (float(value), *resampling.interval(replicates, *free))
        for name, value, replicates in (
            ("effect", value_own - value_drift, own - drift), ("own", value_own, own),
            ("drift", value_drift, drift),
        )
    }  # fmt: skip


def _permuted(answers, scale, seed=0):
    """Share of permutations of the patients' labels whose effect is as large."""
    drops, labels = _drops(answers, scale)
    names, owner = np.unique(answers.persons[answers.edited], return_inverse=True)
    own = np.zeros(len(names), int)
    own[owner] = labels
    rng = np.random.default_rng(seed)
    seen = _of_labels(drops, labels)
    n_as_large = sum(_of_labels(drops, rng.permutation(own)[owner]) >= seen
                     for _ in range(N_PERMUTATIONS))  # fmt: skip
    return (1 + n_as_large) / (1 + N_PERMUTATIONS)


def _of_labels(drops, labels):
    onehot = np.eye(drops.shape[1])[labels]  # (n, n_classes)
    n = onehot.sum(axis=0)
    own = (drops * onehot).sum(axis=0)
    others = drops.sum(axis=0) - own
    rest = np.where(len(labels) > n, others / np.maximum(len(labels) - n, 1), 0)
    return float((own - n * rest).sum() / len(labels))


def _of_shams(answers, scale):
    """The largest effect of a sham measured against the others: what chance alone makes."""
    n_places = answers.shams.shape[1]
    if n_places < 2:
        return 0.0
    found = []
    for k in range(min(n_places, 5)):
        one = Answers(answers.classes, answers.labels, answers.persons, answers.original,
                      answers.shams[:, k], np.delete(answers.shams, k, axis=1))  # fmt: skip
        if one.edited.sum() >= MIN_PERSONS:
            found.append(effect(one, scale))
    return max(found, default=0.0)
