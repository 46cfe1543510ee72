"""Between slices and a network: the form that it takes, and probabilities of its answers."""

import functools

import numpy as np
from scipy.special import expit, softmax

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.images import MAX_CHANNELS

CHANNEL_AXIS = {"nchw": 1, "nhwc": 3, "nhw": None}
EXACT, HALF = 1e-3, 0.02  # how far rows may miss a sum of 1: single, and half precision
CONVERSIONS = {
    "one logit": expit,
    "logits": functools.partial(softmax, axis=1),
    "percent": functools.partial(np.multiply, 1 / 100),
}


def layout_of(shape, wanted=None):
    """The layout of an input by its shape; what is ``wanted``, else as PyTorch has it, where the
    shape leaves that open.

    >>> layout_of([None, 3, 224, 224], "nhwc"), layout_of([None] * 4, "nhwc"), layout_of([None] * 4)
    ('nchw', 'nhwc', 'nchw')
    """
    if len(shape) != 4 or wanted == "nhw":
        return "nhw" if len(shape) == 3 or shape == [None] * 4 else None
    first, last = (n is not None and n <= MAX_CHANNELS for n in (shape[1], shape[3]))
    if first != last:
        return "nchw" if first else "nhwc"
    return wanted or "nchw"


class Shaped:
    """Brings slices into the form that a network takes.

    `shape` is that of the input as its file states it: whole numbers, anything else where it is
    open; None if nothing is stated. `layout` and `channels` say what it leaves open. `size` is
    (height, width), None where it is open. Gray slices are repeated for several channels.
    """

    def __init__(self, run, shape=None, *, layout=None, channels=None, dtype=np.float32, name=""):
        shape = [n if isinstance(n, int) and n > 0 else None for n in shape or [None] * 4]
        self.layout = layout_of(shape, layout)
        if self.layout is None:
            raise InputError(
                f"Expected an input of slices, such as (n, height, width, channels), in {name}, "
                f"got {shape}. Write a function around it: --predict my_module:predict."
            )
        self.run, self.dtype, self.batch = run, dtype, shape[0]
        axis = CHANNEL_AXIS[self.layout]
        self.channels = (axis and shape[axis]) or channels or 1
        size = [n for k, n in enumerate(shape) if k not in (0, axis)]
        self.size = tuple(size) if all(size) else None  # an open shape has none

    def __call__(self, slices):
        """Arrays of what the network says, asked for in batches of the size that it takes."""
        given = self._arranged(slices)
        step, answers = self.batch or len(given), []
        for start in range(0, len(given), step):
            part = given[start : start + step]
            copies = np.repeat(part[-1:], step - len(part), axis=0)
            answer = self.run(np.ascontiguousarray(np.concatenate([part, copies])))
            found = arrays_of(answer)  # without what was said of copies
            answers.append([a[: len(part)] if len(a) == step else a for a in found])
        return tuple(np.concatenate(same) for same in zip(*answers, strict=True))

    def _arranged(self, slices):
        if slices.ndim == 3 and self.layout != "nhw":
            slices = np.repeat(slices[..., None], self.channels, axis=3)
        if self.layout == "nchw":
            slices = np.moveaxis(slices, 3, 1)
        if np.issubdtype(self.dtype, np.integer):
            limits = np.iinfo(self.dtype)
            slices = np.clip(np.rint(slices), limits.min, limits.max)
        return slices.astype(self.dtype, copy=False)


class Probabilities:
    """A `predict` for :func:`edits.audit.audit` around `raw`, a :class:`models.Model`'s.

    What the answers are (probabilities, logits, one sigmoid, percent) is decided at the first
    batch, unless `output` ("softmax", "logits", "sigmoid") says so, and kept in `kind`; `note`
    says what was done, in a sentence. `name` is the classifier's, for errors. `raw` gets copies,
    which it may change, of at most `batch_size` slices.
    """

    def __init__(self, raw, classes, output="auto", name="predict", batch_size=64):
        self.raw, self.classes, self.output, self.name = raw, tuple(classes), output, name
        self.kind, self.note, self.batch_size = None, "", batch_size

    def __call__(self, slices):
        step = self.batch_size
        parts = [slices[k : k + step].copy() for k in range(0, len(slices), step)]
        answer = np.concatenate([self._picked(self.raw(part), part) for part in parts])
        if self.kind is None:
            self.kind, self.note = kind_of(answer, self.classes, self.output, self.name)
        return self._converted(answer)

    def _picked(self, answers, slices):
        """The one array of numbers for the slices among the answers, (n, n_classes or 1)."""
        given, n, wanted = slices.shape, len(slices), len(self.classes)
        found = arrays_of(answers)
        fits = [a for a in found if a.shape == (n, wanted)]
        fits += [a for a in found if a.shape == (n, 1) and wanted == 2 and a.dtype.kind == "f"]
        if fits and np.isfinite(fits[0]).all():
            return fits[0].astype(np.float64)
        if fits:
            bad = ~np.isfinite(fits[0]).all(axis=1)
            empty = bad & (np.ptp(slices.reshape(n, -1), axis=1) == 0)
            raise InputError(
                f"Expected finite probabilities from {self.name}, got NaN or infinite numbers for "
                f"{bad.sum()} of {n} slices, {empty.sum()} of which are empty (all pixels alike). "
                "If it divides by a slice's standard deviation or range, add a small number to it."
            )
        got = f"shapes {', '.join(str(a.shape) for a in found)}" if found else "no numbers"
        raise InputError(
            f"Expected probabilities of shape ({n}, {wanted}) from {self.name}, a row a slice and "
            f"a column a class, for slices {given}; got {got}. Return finite probabilities, not "
            "the numbers of classes, and name all classes in the order of the columns by --classes."
        )

    def _converted(self, answer):
        """Probabilities of numbers of the known kind; an error if they are of another."""
        answer = CONVERSIONS.get(self.kind, np.asarray)(answer)
        if answer.shape[1] == 1:
            answer = np.concatenate([1 - answer, answer], axis=1)
        sums = answer.sum(axis=1, keepdims=True)
        off, loose = np.abs(sums - 1).max(), np.inf if self.kind == "sigmoids" else HALF
        if answer.min() < -1e-6 or off > loose or sums.min() <= 0:
            raise InputError(
                f"Expected {self.kind} from {self.name}, as its first batch was, got numbers from "
                f"{answer.min():.4g} to {answer.max():.4g} whose sums miss 1 by up to {off:.4g}. "
                "Say by --output what it answers."
            )
        return np.maximum(answer, 0) / sums


def arrays_of(answers):
    """The arrays of numbers in what was answered, (n, columns) each.

    An answer is a tensor or something else that NumPy takes, or several of them in a tuple, a list
    or a dictionary. What holds no numbers is left out.
    """
    if isinstance(answers, dict):
        answers = tuple(answers.values())
    elif not isinstance(answers, tuple):
        is_several = isinstance(answers, list) and answers and np.ndim(answers[0]) > 1
        answers = answers if is_several else [answers]
    return [array for array in map(_array, answers) if array is not None]


def _array(answer):
    try:
        if hasattr(answer, "detach"):  # PyTorch's: with a gradient, on a GPU, in bfloat16
            answer = answer.detach().cpu()
            answer = (answer.float() if answer.is_floating_point() else answer).numpy()
        array = np.array(answer)  # a copy: the next call may reuse the memory
    except (TypeError, ValueError, RuntimeError):  # ragged lists, objects
        return None
    is_of_slices = array.dtype.kind in "buif" and array.ndim > 0 and len(array) > 0
    return array.reshape(len(array), -1) if is_of_slices else None


def kind_of(answer, classes, output="auto", name="predict"):
    """What a first batch's numbers are, and a sentence about it ("" for plain probabilities).

    >>> kind_of(np.array([[-2.0, 3.0]]), ("a", "b"))[0]
    'logits'
    """
    low, high, sums = answer.min(), answer.max(), answer.sum(axis=1)
    off = np.abs(sums - 1).max()
    got = f"numbers from {low:.4g} to {high:.4g} whose rows miss a sum of 1 by up to {off:.4g}"
    if answer.shape[1] == 1:
        if output == "logits" or (output == "auto" and low < 0):
            return "one logit", f"One column: taken as the logit of {classes[1]!r}"
        if low >= -1e-6 and high <= 1 + 1e-6:
            return "one sigmoid", f"One sigmoid: taken as the probability of {classes[1]!r}"
    elif output in ("logits", "sigmoid"):
        return {"logits": "logits", "sigmoid": "sigmoids"}[output], ""
    elif low >= -1e-6 and off <= HALF:
        if np.isin(answer, (0, 1)).all():
            return "softmax", (
                "All answers are 0 or 1: hard labels, no probabilities. Scores then count changes "
                "of the answer; return what the labels were chosen from"
            )
        words = f"Rows sum to 1 within {off:.2g} only (half precision?): divided by their sum"
        return "softmax", "" if off <= EXACT else words
    elif output == "auto" and low >= 0 and np.abs(sums - 100).max() <= 100 * HALF:
        return "percent", "Answers are percent: divided by 100"
    elif output == "auto" and (low < 0 or high > 1):
        return "logits", f"Answers are {got}: taken as logits, a softmax is applied (see --output)"
    raise InputError(
        f"Expected probabilities from {name}, got {got}. If each column is a sigmoid of its own "
        "(several labels), say --output sigmoid: they are divided by their sum. If these are "
        "logits, apply a softmax or say --output logits."
    )
