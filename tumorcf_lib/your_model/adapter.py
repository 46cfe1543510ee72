"""Between slices and a network: the form that it takes, and probabilities of its answers."""

import functools
import itertools
import math

import numpy as np
from scipy.special import expit, softmax

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.images import LUMINANCE, MAX_CHANNELS

AXES = {  # of channels, height and width
    "nchw": (1, 2, 3),
    "nhwc": (3, 1, 2),
    "nhw": (None, 1, 2),
    "flat": (None,),
}
EXACT, HALF = 1e-3, 0.02  # how far rows may miss a sum of 1: single, and half precision
TOLERANCES = {"softmax": EXACT, "sigmoids": np.inf}  # of other kinds: HALF
CONVERSIONS = {
    "one logit": expit,
    "logits": functools.partial(softmax, axis=1),
    "percent": functools.partial(np.multiply, 1 / 100),
}


def layouts_of(shape):
    """Layouts that an input's shape allows, the likeliest first.

    >>> layouts_of([None, 3, 224, 224]), layouts_of([None, None, None, 1])
    (['nchw'], ['nhwc'])
    """
    if len(shape) == 4:
        first, last = (n is not None and n <= MAX_CHANNELS for n in (shape[1], shape[3]))
        return ["nchw", "nhwc"] if first == last else ["nchw"] if first else ["nhwc"]
    return {2: ["flat"], 3: ["nhw"]}.get(len(shape), [])


def takes_one_slice(shape):
    """Whether an input of three axes is one slice with its channels, without a batch.

    >>> takes_one_slice([3, 224, 224]), takes_one_slice([1, 224, 224])
    (True, False)
    """
    few = [n is not None and n <= MAX_CHANNELS for n in shape]
    is_chw = few[0] and shape[0] != 1 and not few[-1]
    return len(shape) == 3 and bool(is_chw or (few[-1] and not few[0] and shape[0]))


class Shaped:
    """Brings slices into the form that a network takes; what it leaves open is tried once.

    `shape` is that of the input as its file states it: whole numbers, anything else where it is
    open; None if nothing is stated. `size` is (height, width), None where it is open.
    """

    def __init__(self, run, shape=None, *, layout=None, channels=None, dtype=np.float32, name=""):
        shape = [n if isinstance(n, int) and n > 0 else None for n in shape or [None] * 4]
        if takes_one_slice(shape):
            shape, run = [1, *shape], lambda batch, of_one=run: of_one(batch[0])
        self.layouts = [layout] if layout and len(shape) == 4 else layouts_of(shape)
        if not self.layouts:
            raise InputError(
                f"Expected an input of slices, such as (n, height, width, channels), in {name}, "
                f"got {shape}. Write a function around it: --predict my_module:predict."
            )
        self.run, self.dtype, self.notes, self.form, self.size = run, dtype, [], None, None
        self.batch, self.channels, first = shape[0], channels, self.layouts[0]
        if len(self.layouts) == 1:
            axis, *sides = AXES[first]
            size = [shape[k] for k in sides]
            if first == "flat" and shape[1] and math.isqrt(shape[1]) ** 2 == shape[1]:
                size = [math.isqrt(shape[1])] * 2
            self.size = tuple(size) if size and all(size) else None
            self.channels = (axis is not None and shape[axis]) or channels

    def __call__(self, slices):
        if self.form is None:
            self._find_form(slices[:2])
        return self._answers(slices, *self.form)

    def _find_form(self, slices):
        """The first layout, number of channels and batch that the network does not refuse."""
        own = slices.shape[3] if slices.ndim == 4 else 1
        channels = [self.channels] if self.channels else list(dict.fromkeys((own, 1, 3)))
        forms = []
        for layout in self.layouts:
            has_channels = AXES[layout][0] is not None
            forms += [(layout, n) for n in (channels if has_channels else [None])]
        first = None
        for form, self.batch in itertools.product(forms, [self.batch] if self.batch else [None, 1]):
            try:
                self._answers(slices, *form)
            except Exception as error:  # each framework raises its own kinds
                first = first or error
                continue
            self.form = form
            if len(forms) > 1:
                taken = f"taken as {form[0]} with {form[1]} channel(s)"
                self.notes.append(f"Its input is open: {taken}; --layout and --channels choose")
            return
        raise first

    def _answers(self, slices, layout, channels):
        given = self._arranged(slices, layout, channels)
        step, answers = self.batch or len(given), []
        for start in range(0, len(given), step):
            part = given[start : start + step]
            n = len(part)
            part = np.concatenate([part, np.repeat(part[-1:], step - n, axis=0)])
            answer = self.run(np.ascontiguousarray(part))
            if n == step == len(given):
                return answer
            answer = answer if isinstance(answer, (list, tuple)) else [answer]
            answers.append([np.atleast_1d(to_numpy(one))[:n] for one in answer])
        return tuple(np.concatenate(same) for same in zip(*answers, strict=True))

    def _arranged(self, slices, layout, channels):
        if slices.ndim == 4 and channels in (1, None):
            n = slices.shape[3]
            slices = (slices @ (LUMINANCE if n == 3 else np.full(n, 1 / n))).astype(np.float32)
            note = "The classifier takes one channel, the slices have more: it gets their luminance"
            self.notes += [] if self.notes else [note]
        if channels and slices.ndim == 3:
            slices = np.repeat(slices[..., None], channels, axis=3)
        if layout == "nchw":
            slices = np.moveaxis(slices, 3, 1)
        elif layout == "flat":
            slices = slices.reshape(len(slices), -1)
        if np.issubdtype(self.dtype, np.integer):
            limits = np.iinfo(self.dtype)
            slices = np.clip(np.rint(slices), limits.min, limits.max)
        return slices.astype(self.dtype, copy=False)


class Probabilities:
    """A `predict` for :func:`edits.audit.audit` around `raw`, a :class:`models.Model`'s.

    What the answers are (probabilities, logits, one sigmoid, percent) is decided at the first
    batch, unless `output` ("softmax", "logits", "sigmoid") says so, and kept in `kind`; `notes`
    says what was done, in sentences. `name` is the classifier's, for errors.
    """

    def __init__(self, raw, classes, output="auto", name="predict"):
        self.raw, self.classes, self.output, self.name = raw, tuple(classes), output, name
        self.kind, self.notes = None, []

    def __call__(self, slices):
        answer = self._picked(self.raw(slices), slices.shape)
        if self.kind is None:
            self.kind, note = kind_of(answer, self.classes, self.output, self.name)
            self.notes += [note] if note else []
        return self._converted(answer)

    def _picked(self, answers, given):
        """The one array of numbers for the slices among the answers, (n, n_classes or 1)."""
        n, wanted = given[0], len(self.classes)
        found = [array for array in map(_array, _parts(answers)) if array is not None]
        rows = [array for array in found if len(array) == n]
        fits = [a for a in rows if a.shape[1] == wanted and a.dtype.kind in "buif"]
        fits += [a for a in rows if (a.shape[1], wanted) == (1, 2) and a.dtype.kind == "f"]
        if fits and np.isfinite(fits[0]).all():
            return fits[0].astype(np.float64)
        got = f"shapes {', '.join(str(a.shape) for a in found)}" if found else "nothing"
        if fits:
            got = f"{np.count_nonzero(~np.isfinite(fits[0]))} NaN or infinite numbers"
            advice = "Correct the classifier: no score can be made of them."
        elif any(a.shape[1] == 1 and a.dtype.kind != "f" for a in rows):
            advice = "Return the probabilities that the class numbers were chosen from."
        elif any(a.shape[1] > 1 for a in rows):
            advice = "Name all its classes, in the order of its outputs, by --classes."
        elif rows:
            advice = "One sigmoid answers two classes only: return one column a class."
        elif found:
            advice = "The rows are slices: return one for each."
        else:
            advice = "Return an array. Was the return forgotten?"
        if len(given) == 4:
            advice += " If it takes gray slices: --channels 1, or a column channel, gives it one."
        raise InputError(
            f"Expected probabilities of shape ({n}, {wanted}) from {self.name}, a row a slice and "
            f"a column a class, for slices {given}; got {got}. {advice}"
        )

    def _converted(self, answer):
        """Probabilities of numbers of the known kind; an error if they are of another."""
        answer = CONVERSIONS.get(self.kind, np.asarray)(answer)
        if answer.shape[1] == 1:
            answer = np.concatenate([1 - answer, answer], axis=1)
        sums = answer.sum(axis=1, keepdims=True)
        off, loose = np.abs(sums - 1).max(), TOLERANCES.get(self.kind, HALF)
        if answer.min() < -1e-6 or off > loose or sums.min() <= 0:
            raise InputError(
                f"Expected {self.kind} from {self.name}, as its first batch was, got numbers from "
                f"{answer.min():.4g} to {answer.max():.4g} whose sums miss 1 by up to {off:.4g}. "
                "Say by --output what it answers."
            )
        answer = np.maximum(answer, 0)
        return answer if self.kind == "softmax" else answer / answer.sum(axis=1, keepdims=True)


def answers_to(predict, images, batch_size=32):
    """Probabilities of many slices, asked for batch by batch."""
    return np.concatenate(
        [predict(np.array(images[i : i + batch_size])) for i in range(0, len(images), batch_size)]
    )


def _parts(answers):
    """The arrays in a tuple, a dictionary, or a list of them (scikit-learn's: one a slice)."""
    if isinstance(answers, dict):
        return list(answers.values())
    if isinstance(answers, list) and answers and isinstance(answers[0], dict):
        return [np.array([[row[key] for key in sorted(answers[0])] for row in answers])]
    several = isinstance(answers, list) and answers and np.ndim(answers[0]) > 1
    if isinstance(answers, tuple) or several:
        parts = (_parts(a) if isinstance(a, (dict, list)) else [a] for a in answers)
        return list(itertools.chain(*parts))
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
        raise InputError(
            f"Expected a probability or a logit in the one column of {name}, got {got}. Say "
            "--output logits, or return np.stack([1 - p, p], 1)."
        )
    if output in ("logits", "sigmoid"):
        return {"logits": "logits", "sigmoid": "sigmoids"}[output], ""
    if low >= -1e-6 and off <= HALF:
        if np.isin(answer, (0, 1)).all():
            return "softmax", (
                "All answers are 0 or 1: hard labels, no probabilities. Scores then count changes "
                "of the answer; return what the labels were chosen from"
            )
        words = f"Rows sum to 1 within {off:.2g} only (half precision?): divided by their sum"
        return ("softmax", "") if off <= EXACT else ("half", words)
    if output == "softmax":
        raise InputError(f"Expected a softmax from {name}, got {got}. Leave --output out.")
    if low >= 0 and np.abs(sums - 100).max() <= 100 * HALF:
        return "percent", "Answers are percent: divided by 100"
    if low < 0 or high > 1:
        return "logits", f"Answers are {got}: taken as logits, a softmax is applied (see --output)"
    raise InputError(
        f"Expected probabilities from {name}, got {got}. If each column is a sigmoid of its own "
        "(several labels), say --output sigmoid: they are divided by their sum. If these are "
        "logits, apply a softmax or say --output logits."
    )
