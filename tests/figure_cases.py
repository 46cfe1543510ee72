"""Every figure, from the published tables that it shows; those of slices from a few squares."""

import functools
import hashlib
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pictures import named

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.figures import slices, studies
from tumorcf_lib.publish import from_rows
from tumorcf_lib.study import leak, pooled, results
from tumorcf_lib.study.side_studies import reader

GROUPS = ("all", *CLASSES)
STUDIES = {"demo": from_rows.FIGURES, pooled.NAME: pooled.STUDY.figures, "leak": leak.STUDY.figures}
PUBLISHED = {}
"""Name of a figure -> the folder of its tables, and how it is drawn of them."""

for _folder, _figures in STUDIES.items():
    for _how in _figures.values():
        if _how.again:
            PUBLISHED.setdefault(_how.draw.split(".")[1], (_folder, _how))


@functools.cache
def tables(name):
    """What a figure shows, read from its published tables. Change copies only."""
    folder, how = PUBLISHED[name]
    return how.shown(*map(reader(config.published(folder)), how.tables))


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
    return named(images, masks, np.arange(n) % len(classes), people, classes=classes)


def errors(n=9):
    names = [CLASSES[k % 3] for k in range(n)]
    table = pd.DataFrame({"label": names, "predicted": names[::-1], "person_id": "7"})
    return table.assign(confidence=np.linspace(0.876, 0.5, n))


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


def preprocessing(**options):
    images, masks = squares(2)
    steps = [{"as stored": image, "resized": image[::2, ::2]} for image in images]
    return slices.preprocessing(steps, CLASSES[:2], masks=masks, **options)


def intensities(**options):
    images = squares()[0]
    return studies.intensities(images, images / 9, CLASSES * 3, **options)


OF_SLICES = {
    "examples": lambda **tag: slices.examples(cohort(), captions=["axial"] * 9, **tag),
    "preprocessing": preprocessing,
    "intensities": intensities,
    "errors": lambda **tag: slices.errors(cohort(), errors(), **tag),
    "edits": lambda **tag: slices.edits(edits(), note="medians", **tag),
}


def draw(name, **options):
    if name in OF_SLICES:
        return OF_SLICES[name](**options)
    return PUBLISHED[name][1].function(*tables(name), **options)


def digests(fig):
    """SHA-256 of the figure in each published format."""
    found = {}
    for suffix, options in results.FIGURE_FORMATS.items():
        file = io.BytesIO()
        fig.savefig(file, format=suffix[1:], **options)
        found[suffix] = hashlib.sha256(file.getvalue()).hexdigest()
    return found


def texts(fig):
    return [text.get_text() for text in fig.findobj(plt.Text) if text.get_text()]


def marks(ax):
    """(x, y) of every estimate with or without an interval along x."""
    found = [container[0] for container in ax.containers if hasattr(container, "has_xerr")]
    return [(float(mark.get_xdata()[0]), float(mark.get_ydata()[0])) for mark in found]
