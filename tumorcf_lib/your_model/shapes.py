"""The form in which a network takes slices: layout, channels, batch, kind of numbers."""

import numpy as np

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.outputs import to_numpy

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
N_CHANNELS = 16  # an axis of at most so many is one of channels, not of pixels


class Shaped:
    """Brings slices into the form that a network takes; what it leaves open is tried once."""

    def __init__(self, run, layouts, channels, *, batch=None, dtype=np.float32, size=None):
        self.run, self.layouts, self.channels = run, layouts, channels
        self.batch, self.dtype, self.size, self.notes = batch, dtype, size, []
        self.form = None

    def __call__(self, slices):
        if self.size and tuple(slices.shape[1:3]) != self.size:
            raise InputError(
                f"Expected slices of {self.size} pixels (height, width), got "
                f"{tuple(slices.shape[1:3])}. Leave --size out, or give that size."
            )
        if self.form is None:
            self._find_form(slices)
        return self._answers(slices, *self.form)

    def like(self, run):
        """The same form around another network."""
        made = Shaped(run, self.layouts, self.channels, batch=self.batch, dtype=self.dtype,
                       size=self.size)  # fmt: skip
        made.form = self.form
        return made

    def _find_form(self, slices):
        forms = [(layout, n) for layout in self.layouts for n in self.channels]
        batches = [self.batch] if self.batch else [None, 1]
        first = None
        for form, self.batch in [(form, batch) for form in forms for batch in batches]:
            try:
                self._answers(slices[:2], *form)
            except (InputError, KeyboardInterrupt):
                raise
            except Exception as error:  # each framework raises its own kinds
                first = first or error
                continue
            self.form = form
            if len(forms) > 1:
                self.notes.append(
                    f"The file leaves its input open: taken as {form[0]} with "
                    f"{form[1] or 'its'} channel(s); --layout and --channels choose"
                )
            return
        raise first

    def _answers(self, slices, layout, channels):
        given = self._arranged(slices, layout, channels)
        step = self.batch or len(given)
        answers = []
        for start in range(0, len(given), step):
            part = given[start : start + step]
            n = len(part)
            if n < step:
                part = np.concatenate([part, np.repeat(part[-1:], step - n, axis=0)])
            part = part[0] if layout in ("chw", "hwc") else part
            answers.append((self.run(np.ascontiguousarray(part)), n))
        return answers[0][0] if len(answers) == 1 and answers[0][1] == step else _joined(answers)

    def _arranged(self, slices, layout, channels):
        if slices.ndim == 3 and layout not in ("nhw", "flat"):
            slices = np.repeat(slices[..., None], channels or 1, axis=3)
        elif slices.ndim == 4 and (layout in ("nhw", "flat") or channels == 1):
            weights = (
                LUMINANCE if slices.shape[3] == 3 else np.full(slices.shape[3], 1 / slices.shape[3])
            )
            slices = (slices @ weights).astype(np.float32)
            slices = slices if layout in ("nhw", "flat") else slices[..., None]
            if not self.notes:
                self.notes.append("The classifier takes one channel, the slices have more: their "
                                  "luminance is given")  # fmt: skip
        elif slices.ndim == 4 and channels and slices.shape[3] != channels:
            raise InputError(
                f"Expected slices of {channels} channels for this model, got {slices.shape[3]}. "
                "Choose one by a column channel in the manifest."
            )
        if layout in ("nchw", "chw"):
            slices = np.moveaxis(slices, 3, 1)
        elif layout == "flat":
            slices = slices.reshape(len(slices), -1)
        if np.issubdtype(self.dtype, np.integer):
            limits = np.iinfo(self.dtype)
            slices = np.clip(np.rint(slices), limits.min, limits.max)
        return slices.astype(self.dtype, copy=False)


def _joined(answers):
    """Answers of several batches as one, without the copies that filled the last."""
    parts = [[np.atleast_1d(to_numpy(a))[:n] if to_numpy(a).ndim else to_numpy(a)[None]
              for a in (answer if isinstance(answer, (list, tuple)) else [answer])]
             for answer, n in answers]  # fmt: skip
    joined = tuple(np.concatenate(same) for same in zip(*parts, strict=True))
    return joined if len(joined) > 1 else joined[0]


def layouts_of(shape):
    """Layouts that an input's shape allows, the likeliest first, each with its channels.

    >>> layouts_of([None, 3, 224, 224]), layouts_of(["n", "h", "w", 1])
    (['nchw'], ['nhwc'])
    """
    few = [isinstance(n, int) and 0 < n <= N_CHANNELS for n in shape]
    if len(shape) == 2:
        return ["flat"]
    if len(shape) == 3:
        if few[0] and shape[0] != 1 and not few[2]:
            return ["chw"]
        return ["hwc"] if few[2] and not few[0] and isinstance(shape[0], int) else ["nhw"]
    if len(shape) == 4:
        if few[1] != few[3]:
            return ["nchw"] if few[1] else ["nhwc"]
        return ["nchw", "nhwc"]
    return []


def shaped(run, shape, layout, channels, name, dtype=np.float32):
    """The adapter around an input of this shape (None or a word where it is open), and its size."""
    shape = [n if isinstance(n, int) and n > 0 else None for n in shape]
    layouts = [layout] if layout and len(shape) == 4 else layouts_of(shape)
    if not layouts:
        raise InputError(
            f"Expected an input of slices, such as (n, height, width, channels), in {name}, got "
            f"{shape}. Write a function around it: --predict my_module:predict."
        )
    axis = {"nchw": 1, "nhwc": 3, "chw": 0, "hwc": 2}.get(layouts[0])
    stated = shape[axis] if axis is not None and len(layouts) == 1 else None
    open_channels = [channels] if channels else [1, 3]
    spatial = {"nchw": (2, 3), "nhwc": (1, 2), "nhw": (1, 2), "chw": (1, 2), "hwc": (0, 1)}
    size = None
    if len(layouts) == 1 and layouts[0] in spatial:
        size = tuple(shape[k] for k in spatial[layouts[0]])
        size = size if all(size) else None
    elif layouts == ["flat"] and shape[1] and int(shape[1] ** 0.5) ** 2 == shape[1]:
        size = (int(shape[1] ** 0.5),) * 2
    batch = 1 if layouts[0] in ("chw", "hwc") else shape[0]
    given = [stated] if stated or axis is None else open_channels
    return Shaped(run, layouts, given, batch=batch, dtype=dtype, size=size), size
