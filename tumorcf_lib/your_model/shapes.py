"""The form in which a network takes slices: layout, channels, batch, kind of numbers."""

import copy
import itertools
import math

import numpy as np

from tumorcf_lib.your_model import InputError
from tumorcf_lib.your_model.images import LUMINANCE, MAX_CHANNELS
from tumorcf_lib.your_model.outputs import to_numpy

AXES = {  # of channels, height and width
    "nchw": (1, 2, 3), "nhwc": (3, 1, 2), "nhw": (None, 1, 2), "chw": (0, 1, 2), "hwc": (2, 0, 1),
    "flat": (None,),
}


def layouts_of(shape):
    """Layouts that an input's shape allows, the likeliest first.

    >>> layouts_of([None, 3, 224, 224]), layouts_of([None, None, None, 1])
    (['nchw'], ['nhwc'])
    """
    few = [n is not None and n <= MAX_CHANNELS for n in shape]
    if len(shape) == 2:
        return ["flat"]
    if len(shape) == 3:
        if few[0] and shape[0] != 1 and not few[2]:
            return ["chw"]
        return ["hwc"] if few[2] and not few[0] and shape[0] else ["nhw"]
    if len(shape) == 4:
        return ["nchw", "nhwc"] if few[1] == few[3] else ["nchw"] if few[1] else ["nhwc"]
    return []


class Shaped:
    """Brings slices into the form that a network takes; what it leaves open is tried once.

    `shape` is that of the input as its file states it: whole numbers, anything else where it is
    open; None if nothing is stated. `size` is (height, width), None where it is open.
    """

    def __init__(self, run, shape=None, *, layout=None, channels=None, dtype=np.float32, name=""):
        shape = [n if isinstance(n, int) and n > 0 else None for n in shape or [None] * 4]
        self.layouts = [layout] if layout and len(shape) == 4 else layouts_of(shape)
        if not self.layouts:
            raise InputError(
                f"Expected an input of slices, such as (n, height, width, channels), in {name}, "
                f"got {shape}. Write a function around it: --predict my_module:predict."
            )
        self.run, self.dtype, self.notes, self.form, self.size = run, dtype, [], None, None
        self.channels = channels
        self.batch = 1 if self.layouts[0] in ("chw", "hwc") else shape[0]
        if len(self.layouts) == 1:
            axis, *sides = AXES[self.layouts[0]]
            size = [shape[k] for k in sides]
            if self.layouts == ["flat"] and shape[1] and math.isqrt(shape[1]) ** 2 == shape[1]:
                size = [math.isqrt(shape[1])] * 2
            self.size = tuple(size) if size and all(size) else None
            self.channels = (shape[axis] if axis is not None else None) or channels

    def __call__(self, slices):
        if self.size and tuple(slices.shape[1:3]) != self.size:
            raise InputError(
                f"Expected slices of {self.size} pixels (height, width), got "
                f"{tuple(slices.shape[1:3])}. Leave --size out, or give that size."
            )
        if self.form is None:
            self._find_form(slices[:2])
        return self._answers(slices, *self.form)

    def like(self, run):
        """The same form around another network."""
        made = copy.copy(self)
        made.run = run
        return made

    def _find_form(self, slices):
        """The first layout, number of channels and batch that the network does not refuse."""
        own = slices.shape[3] if slices.ndim == 4 else 1
        channels = [self.channels] if self.channels else list(dict.fromkeys((own, 1, 3)))
        forms = [(layout, n) for layout in self.layouts
                 for n in (channels if AXES[layout][0] is not None else [None])]
        first = None
        for form, self.batch in itertools.product(forms, [self.batch] if self.batch else [None, 1]):
            try:
                self._answers(slices, *form)
            except (InputError, KeyboardInterrupt):
                raise
            except Exception as error:  # each framework raises its own kinds
                first = first or error
                continue
            self.form = form
            if len(forms) > 1:
                self.notes.append(
                    f"The input is left open: taken as {form[0]} with {form[1]} channel(s); "
                    "--layout and --channels choose"
                )
            return
        raise first

    def _answers(self, slices, layout, channels):
        given = self._arranged(slices, layout, channels)
        step, answers = self.batch or len(given), []
        for start in range(0, len(given), step):
            part = given[start : start + step]
            n = len(part)
            part = np.concatenate([part, np.repeat(part[-1:], step - n, axis=0)])
            part = part[0] if layout in ("chw", "hwc") else part
            answer = self.run(np.ascontiguousarray(part))
            if n == step == len(given):
                return answer
            answer = answer if isinstance(answer, (list, tuple)) else [answer]
            answers.append([np.atleast_1d(to_numpy(one))[:n] for one in answer])
        return tuple(np.concatenate(same) for same in zip(*answers, strict=True))

    def _arranged(self, slices, layout, channels):
        if slices.ndim == 4 and channels in (1, None):
            n = slices.shape[3]
            gray = slices @ (LUMINANCE if n == 3 else np.full(n, 1 / n))
            slices = gray.astype(np.float32)
            if n > 1 and not self.notes:
                self.notes.append("The classifier takes one channel, the slices have more: their "
                                  "luminance is given")
        elif slices.ndim == 4 and slices.shape[3] != channels:
            raise InputError(
                f"Expected slices of {channels} channels for this model, got {slices.shape[3]}. "
                "Choose one by a column channel in the manifest."
            )
        if channels and slices.ndim == 3:
            slices = np.repeat(slices[..., None], channels, axis=3)
        if layout in ("nchw", "chw"):
            slices = np.moveaxis(slices, 3, 1)
        elif layout == "flat":
            slices = slices.reshape(len(slices), -1)
        if np.issubdtype(self.dtype, np.integer):
            limits = np.iinfo(self.dtype)
            slices = np.clip(np.rint(slices), limits.min, limits.max)
        return slices.astype(self.dtype, copy=False)
