"""One function per figure, from plain arrays and tables; each returns a Figure.

Every function takes ``tag``, a word such as "phantom" that is written small into the figure.
Class colors are fixed; MRI is gray with one window across a row, masks are outlines,
differences use a diverging map centered on zero.
"""

from tumorcf_lib.figures.calibration import known_answers
from tumorcf_lib.figures.controls import dilation_curves, infill_comparison, probe_bars
from tumorcf_lib.figures.forests import drop_vs_focus, fall_to, findings_forest, headline
from tumorcf_lib.figures.leak import leak_and_duplicates
from tumorcf_lib.figures.pooled import pooled_folds
from tumorcf_lib.figures.robustness import covariates, energy, robustness_forest, three_networks
from tumorcf_lib.figures.scores import correct_vs_wrong, delta_by_class
from tumorcf_lib.figures.slices import (
    edits_side_by_side,
    errors_gallery,
    examples,
    preprocessing_steps,
)
from tumorcf_lib.figures.studies import cohort_overview, intensity_histograms
from tumorcf_lib.figures.style import CLASS_COLORS, VERDICT_COLORS, class_colors
from tumorcf_lib.figures.training import confusion, learning_curves, reliability

__all__ = [
    "CLASS_COLORS", "VERDICT_COLORS", "class_colors", "cohort_overview", "confusion",
    "correct_vs_wrong", "covariates", "delta_by_class", "dilation_curves", "drop_vs_focus",
    "edits_side_by_side", "energy", "errors_gallery", "examples", "fall_to", "findings_forest",
    "headline", "infill_comparison", "intensity_histograms", "known_answers",
    "leak_and_duplicates", "learning_curves", "pooled_folds", "preprocessing_steps", "probe_bars",
    "reliability", "robustness_forest", "three_networks",
]  # fmt: skip
