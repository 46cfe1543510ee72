"""Notebook 05's one slice: the network of its fold, its edits, and what a reader may turn."""

from dataclasses import dataclass

import numpy as np

from tumorcf_lib.data import split as splits
from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import edits, regions
from tumorcf_lib.edits.infills import HEADLINE_INFILL, INFILLS
from tumorcf_lib.edits.sites import About
from tumorcf_lib.figures import lesson as pictures
from tumorcf_lib.study import by_fold, reading

GRAD_CAM_PX = 224  # below it the last feature maps are too coarse to show anything
N_SQUARES = 12  # along a side, that occlusion hides one after the other


@dataclass(frozen=True)
class Lesson:
    """One tested slice and the network that never saw its patient."""

    own: Cohort  # of this slice alone
    model: object
    predict: object
    seed: int
    tag: str

    @property
    def slice(self):
        """Prepared, float32 (height, width)."""
        return np.asarray(self.own.slices[0])

    @property
    def mask(self):
        """Of the tumor, bool (height, width)."""
        return np.asarray(self.own.masks[0])

    @property
    def label(self) -> str:
        """The true class."""
        return self.own.classes[self.own.labels[0]]

    def p(self, *images) -> list[float]:
        """Probability of the true class on each image, to three digits, to reckon by hand."""
        return [round(float(value), 3) for value in self.exact_p(images)]

    def exact_p(self, images):
        """Probability of the true class on each image, (n,)."""
        return self.predict(np.stack(images))[:, self.own.labels[0]]

    def sham_mask(self, dilation_px=0):
        """The mask at the first place that the audit draws for this slice; None without one."""
        key = self.seed, self.own.table["slice_id"].iat[0]
        found = About(self.slice, self.mask).sites(dilation_px, 1, key, HEADLINE_INFILL)
        return found[0][2] if found else None

    def turned(self, infill=HEADLINE_INFILL, radius_px=edits.RADIUS_PX, dilation_px=0):
        """A figure of the slice, its removal and a sham's, and a sentence with their P."""
        how = {"infill": infill, "radius_px": radius_px}
        region = regions.dilate(self.mask, dilation_px)
        sham = self.sham_mask(dilation_px) if region.any() else None
        told = "no place of the head has room for a sham of this size"
        if not region.any():
            told = "nothing is left of the mask"
        shown = [{"image": self.slice, "title": "the slice", "mask": region}]
        try:
            removed = edits.remove(self.slice, region, **how)
            shown.append({"image": removed, "title": "tumor painted out"})
            if sham is not None:
                control = edits.remove(self.slice, sham, **how)
                shown.append({"image": control, "title": "sham painted out", "mask": sham})
        except regions.ImpossibleEditError as error:
            told = f"this edit is not possible here: {error}".rstrip(".")
        p = self.p(*(one["image"] for one in shown))
        for one, value in zip(shown, p, strict=True):
            one["note"] = f"P = {value:.3f}"
        ends = ("", " without the tumor", " with a sham")
        words = [f"{value:.3f}{end}" for value, end in zip(p, ends, strict=False)]
        net = f"Net-Drop {p[2] - p[1]:.3f}" if len(p) == 3 else told
        return pictures.strip(shown, tag=self.tag), (
            f"Infill {infill}, radius {radius_px} px, mask grown by {dilation_px} px: P is "
            f"{', '.join(words)}; {net}."
        )

    def filmstrip(self, dilations, infill=HEADLINE_INFILL, radius_px=edits.RADIUS_PX):
        """A figure of the removal at growing masks, and P of the true class at each."""
        how = {"infill": infill, "radius_px": radius_px}
        images = [edits.remove(self.slice, self.mask, **how, dilation_px=px) for px in dilations]
        p = self.p(*images)
        shown = [
            {"image": image, "title": f"mask + {px} px", "note": f"P = {value:.2f}"}
            for image, px, value in zip(images, dilations, p, strict=True)
        ]
        return pictures.strip(shown, like=self.slice, tag=self.tag), p

    def sliders(self, infill=HEADLINE_INFILL, radius_px=edits.RADIUS_PX, dilation_px=0):
        """Sliders for :meth:`turned`, where a kernel runs."""
        import ipywidgets

        ipywidgets.interact_manual(
            lambda **turned: reading.show(*self.turned(**turned)),
            infill=ipywidgets.Dropdown(options=list(INFILLS), value=infill),
            radius_px=ipywidgets.IntSlider(radius_px, 1, 12),
            dilation_px=ipywidgets.IntSlider(dilation_px, -2, 20),
        )

    def saliency(self):
        """A figure: where evidence for the true class is read, and the share on the tumor.

        Grad-CAM from 224 px up; below, how far P falls when a square is painted out.

        Returns
        -------
        fig, words : Figure, str
        """
        from tumorcf_lib.networks import saliency

        images = [self.slice, edits.remove(self.slice, self.mask)]
        if len(self.slice) >= GRAD_CAM_PX:
            maps = saliency.grad_cam(self.model, np.stack(images), [self.own.labels[0]] * 2)
            how = "Grad-CAM"
        else:
            maps, how = [occlusion(self.exact_p, image) for image in images], "Occlusion"
        row = saliency.map_rows(self.own, maps[:1]).iloc[0]
        shown = [
            {"image": self.slice, "title": "the slice", "mask": self.mask},
            {"image": images[0], "title": f"{how}: the slice", "map": maps[0], "mask": self.mask},
            {"image": images[1], "title": f"{how}: tumor painted out", "map": maps[1]},
        ]
        words = (
            f"{row['map_tumor']:.0%} of the map lies on the tumor, which is "
            f"{row['area_tumor']:.0%} of the head."
        )
        return pictures.strip(shown, tag=self.tag), words


def occlusion(p, image):
    """How far the probability falls when a square is painted out, from 0 up, (height, width)."""
    n, step = len(image), len(image) / N_SQUARES
    squares = np.zeros((N_SQUARES, N_SQUARES, n, n), bool)
    for row, column in np.ndindex(N_SQUARES, N_SQUARES):
        across, down = (slice(int(k * step), int((k + 1.5) * step)) for k in (column, row))
        squares[row, column, down, across] = True
    squares = squares.reshape(-1, n, n)  # (n_squares, height, width)
    falls = p([image, *(edits.remove(image, square) for square in squares)])
    falls = np.maximum(falls[0] - falls[1:], 0)
    return np.tensordot(falls, squares, 1) / squares.sum(axis=0)


def of(results, prepared, position: int) -> Lesson:
    """The tested slice at a position, with the network of its fold."""
    from tumorcf_lib.networks import classifier, speed

    split = splits.check(results.read("01_data", "split"))
    tested = split[(split["part"] == "test")].iloc[position]
    own = by_fold.slices_of(prepared, [tested["slice_id"]])
    weights = results.path_in("03_training", by_fold.weights_name())
    model = classifier.load_float16(results.study.profile, weights)
    predict = classifier.as_predictor(speed.folded(model), batch_size=64)
    return Lesson(own, model, predict, results.study.seed, results.study.tag)
