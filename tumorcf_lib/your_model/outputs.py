"""From whatever a classifier answers to probabilities (n, classes)."""

import numpy as np

from tumorcf_lib.your_model import InputError

EXACT, HALF = 1e-3, 0.02  # how far rows may miss a sum of 1: single, and half precision


class Probabilities:
    """A `predict` for :func:`edits.audit.audit` around a :class:`models.Model`.

    What the answers are (probabilities, logits, one sigmoid, percent) is decided at the first
    batch and kept; `notes` says what was done, in sentences.

    Parameters
    ----------
    raw : callable
        From slices to whatever the classifier answers.
    classes : sequence of str
    output : {"auto", "softmax", "logits", "sigmoid"}
    name : str
        Of the classifier, for errors.
    """

    def __init__(self, raw, classes, output="auto", name="predict"):
        self.raw, self.classes, self.output, self.name = raw, tuple(classes), output, name
        self.kind, self.notes = None, []

    def __call__(self, slices):
        answers = self.raw(slices)
        try:
            answer = picked(answers, len(slices), len(self.classes), self.name)
        except InputError as error:
            raise InputError(f"{error} (It was given slices {slices.shape}.)") from error
        if self.kind is None:
            self.kind, note = kind_of(answer, self.classes, self.output, self.name)
            self.notes += [note] if note else []
        return _converted(answer, self.kind, self.name)


def answers_to(predict, images, batch_size=32):
    """Probabilities of many slices, asked for batch by batch."""
    return np.concatenate([predict(np.array(images[i : i + batch_size]))
                           for i in range(0, len(images), batch_size)])


def picked(answers, n, n_classes, name="predict"):
    """The one array of numbers for n slices among a classifier's answers, (n, n_classes or 1)."""
    if answers is None:
        raise InputError(f"{name} returned nothing. Did it forget to return?")
    found = [array for array in map(_array, _parts(answers)) if array is not None]
    rows = [array for array in found if len(array) == n]
    fits = [a for a in rows if a.shape[1] == n_classes and a.dtype.kind in "buif"]
    fits += [a for a in rows if (a.shape[1], n_classes) == (1, 2) and a.dtype.kind == "f"]
    if fits:
        answer = fits[0].astype(np.float64)
        n_bad = np.count_nonzero(~np.isfinite(answer))
        if n_bad:
            raise InputError(
                f"{name} returned {n_bad} NaN or infinite numbers for {n} slices. Mend the "
                "classifier: no score can be made of them."
            )
        return answer
    if any(a.shape[1] == 1 and a.dtype.kind != "f" for a in rows):
        raise InputError(
            f"{name} returned class numbers, one a slice. Return the probabilities that they "
            f"were chosen from, of shape ({n}, {n_classes})."
        )
    shapes = ", ".join(str(a.shape) for a in found) or type(answers).__name__
    advice = "The rows are slices: return one for each." if found else "Return an array."
    if any(a.shape[1] > 1 for a in rows):
        advice = "Name all its classes, in the order of its outputs, by --classes."
    elif rows:
        advice = "One sigmoid answers two classes only: return one column a class."
    raise InputError(
        f"{name} has to return probabilities of shape ({n}, {n_classes}), one row a slice, one "
        f"column a class; got {shapes}. {advice}"
    )


def _parts(answers):
    """The arrays in a tuple, a dictionary, or a list of them."""
    if isinstance(answers, dict):
        return list(answers.values())
    if isinstance(answers, list) and answers and isinstance(answers[0], dict):
        # as scikit-learn's exporter writes them: a dictionary a slice
        return [np.array([[row[key] for key in sorted(answers[0])] for row in answers])]
    several = isinstance(answers, list) and answers and np.ndim(answers[0]) > 1
    if isinstance(answers, tuple) or several:
        return [
            part for whole in answers if whole is not None
            for part in (_parts(whole) if isinstance(whole, (dict, list)) else [whole])
        ]
    return [answers]


def _array(part):
    """As (n, columns); None for what holds no numbers."""
    try:
        array = to_numpy(part)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, objects
        return None
    return array.reshape(len(array), -1) if array.ndim and len(array) else None


def to_numpy(answer):
    """An array of whatever holds numbers: tensors are detached and brought to the CPU."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
        return (answer.float() if answer.is_floating_point() else answer).numpy()
    array = np.array(answer)  # a copy: the next call may reuse the memory
    if array.dtype.kind not in "buifUS":
        raise TypeError(array.dtype)
    return array


def kind_of(answer, classes, output="auto", name="predict"):
    """What a first batch's numbers are, and a sentence about it ("" for plain probabilities).

    The kind is "softmax", "half", "percent", "logits", "sigmoids", "one sigmoid" or "one logit".

    >>> kind_of(np.array([[0.25, 0.75]]), ("a", "b"))
    ('softmax', '')
    >>> kind_of(np.array([[-2.0, 3.0]]), ("a", "b"))[0]
    'logits'
    """
    low, high = answer.min(), answer.max()
    off = np.abs(answer.sum(axis=1) - 1).max()
    got = f"numbers from {low:.4g} to {high:.4g} whose rows miss a sum of 1 by up to {off:.4g}"
    if answer.shape[1] == 1:
        if output == "logits" or (output == "auto" and low < 0):
            return "one logit", f"One column: taken as the logit of {classes[1]!r}"
        if low >= -1e-6 and high <= 1 + 1e-6:
            return "one sigmoid", f"One sigmoid: taken as the probability of {classes[1]!r}"
        raise InputError(
            f"{name} returned one column of numbers from {low:.4g} to {high:.4g}, neither a "
            "probability nor clearly a logit. Say --output logits, or return "
            "np.stack([1 - p, p], 1)."
        )
    if output in ("logits", "sigmoid"):
        return {"logits": "logits", "sigmoid": "sigmoids"}[output], ""
    if low >= -1e-6 and off <= HALF:
        if off > EXACT:
            return "half", (f"Rows sum to 1 within {off:.2g} only (half precision?): they are "
                            "divided by their sum")
        return "softmax", "" if not np.isin(answer, (0, 1)).all() else (
            "All answers are 0 or 1: hard labels, no probabilities. Scores then count changes of "
            "the answer; return what the labels were chosen from"
        )
    if output == "softmax":
        raise InputError(f"{name} returned {got}, no softmax. Leave --output out, or name another.")
    if low >= 0 and np.abs(answer.sum(axis=1) - 100).max() <= 100 * HALF:
        return "percent", "Answers are percent: they are divided by 100"
    if high <= 0 and np.abs(np.exp(answer).sum(axis=1) - 1).max() <= HALF:
        return "logits", "Answers are logarithms of probabilities: their exponentials are taken"
    if low < 0 or high > 1:
        return "logits", (f"Answers are {got}: taken as logits, a softmax is applied "
                          "(--output says otherwise)")
    raise InputError(
        f"{name} returned {got}. If each column is a sigmoid of its own (several labels), say "
        "--output sigmoid: they are divided by their sum. If these are logits, apply a softmax or "
        "say --output logits."
    )


def _converted(answer, kind, name):
    """Probabilities of numbers of a known kind; an error if a later batch is of another."""
    if kind == "one logit":
        answer = 1 / (1 + np.exp(-np.clip(answer, -500, 500)))
    if kind in ("one logit", "one sigmoid"):
        answer = np.concatenate([1 - answer, answer], axis=1)
    elif kind == "logits":
        answer = np.exp(answer - answer.max(axis=1, keepdims=True))
        answer /= answer.sum(axis=1, keepdims=True)
    elif kind == "percent":
        answer = answer / 100
    sums = answer.sum(axis=1, keepdims=True)
    loose = {"softmax": EXACT, "sigmoids": np.inf}.get(kind, HALF)
    if answer.min() < -1e-6 or np.abs(sums - 1).max() > loose or sums.min() <= 0:
        raise InputError(
            f"{name} returned other numbers than before: from {answer.min():.4g} to "
            f"{answer.max():.4g}, sums off by up to {np.abs(sums - 1).max():.4g}. Its first batch "
            f"was taken as {kind}; say which by --output."
        )
    answer = np.maximum(answer, 0)
    return answer if kind == "softmax" else answer / answer.sum(axis=1, keepdims=True)
