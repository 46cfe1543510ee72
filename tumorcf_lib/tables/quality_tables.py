"""How good each infill is where the truth is known, as a table."""

import pandas as pd

from tumorcf_lib.edits.infills import SPARSE_INFILLS
from tumorcf_lib.stats import estimates, findings
from tumorcf_lib.tables.controls import COMMON, COMMON_SPARSE, OWN

METRICS = ("mae", "rmse", "ssim")


def quality_table(rows_quality, *, n_resamples: int) -> pd.DataFrame:
    """Error and similarity by infill, with intervals over persons.

    Parameters
    ----------
    rows_quality : DataFrame
        From :func:`controls.quality.measure`.
    n_resamples : int

    Returns
    -------
    DataFrame
        infill; slices: "own" (all places of this infill), "common" (places that all infills
        but the sparse mirror have) or "common, mirror too"; score ("mae", "rmse": lower is
        better; "ssim": higher is), group, effect, low, high (95 percent, persons resampled
        within class), mean_of_person_means, n_slices, n_persons. A slice counts with the mean
        over its places.
    """
    key = ["slice_id", "place"]
    infills = sorted(rows_quality["infill"].unique(), key=lambda name: name in SPARSE_INFILLS)
    dense = [infill for infill in infills if infill not in SPARSE_INFILLS]
    sets = {OWN: [], COMMON: dense} | ({COMMON_SPARSE: infills} if infills != dense else {})
    infills_at = rows_quality.groupby(key)["infill"].agg(set)
    at = pd.MultiIndex.from_frame(rows_quality[key])
    parts = []
    for infill in infills:
        for name, needed in sets.items():
            if needed and (infill not in needed or len(needed) < 2):
                continue
            have = infills_at.index[[set(needed) <= found for found in infills_at]]
            own = rows_quality[(rows_quality["infill"] == infill) & at.isin(have)]
            by_slice = own.groupby(["slice_id", "person_id", "label"], sort=False)
            means = by_slice[list(METRICS)].mean().reset_index()
            part = findings.score_means(
                means, METRICS, n_resamples=n_resamples,
                classes=estimates.classes_of(rows_quality["label"]),
            )  # fmt: skip
            parts.append(part.assign(infill=infill, slices=name))
    parts = [part for part in parts if len(part)]
    columns = ["infill", "slices", "score", "group", "effect", "low", "high",
               "mean_of_person_means", "n_slices", "n_persons"]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]
