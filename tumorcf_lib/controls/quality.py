"""How good is an infill where the truth is known? Filled shams compared with the real tissue.

Under a tumor nobody knows what healthy tissue would look like. Under a sham it is there, and
was only hidden. These numbers do not tell how natural a filling looks: error and SSIM reward
the smooth guess, which holds no detail that could be wrong. Their table is made in
:mod:`tables.controls`.
"""

import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity
from tqdm import tqdm

from tumorcf_lib.edits import plan, regions
from tumorcf_lib.edits.infills import SPARSE_INFILLS

WINDOW_PX = 7
"""Side of SSIM's square window, scikit-image's own choice."""

MEASURES = ("mae", "rmse", "ssim")
COLUMNS = ("slice_id", "person_id", "label", "infill", "place", "n_pixels", *MEASURES)


def measure(prepared, rows, *, n_places=2, progress=False) -> pd.DataFrame:
    """Error and similarity of every infill on the first sham places of each slice.

    Places are the first `n_places` without a flag (not over scalp or air) at which all infills but
    the sparse ones were audited, hence the same for all of them. mae and rmse are over the region
    in standard deviations of the slice. SSIM (Wang et al., 2004) compares windows of 7 x 7 pixels,
    its data range is the untouched slice's; windows at the region's rim reach into untouched
    pixels, so SSIM flatters small regions, for all infills alike."""
    chosen = _chosen(rows, n_places)
    positions = pd.Index(prepared.table["slice_id"]).get_indexer(chosen["slice_id"])
    measured = []
    pairs = zip(positions, chosen.to_dict("records"), strict=True)
    for i, row in tqdm(pairs, desc="infills", total=len(chosen), disable=not progress):
        slice, mask = np.asarray(prepared.slices[i]), np.asarray(prepared.masks[i])
        region = plan.region_of(mask, row)
        measured.append(errors(slice, plan.recreate(slice, mask, row), region))
    values = pd.DataFrame(measured, columns=MEASURES, index=chosen.index, dtype=float)
    return chosen.join(values)[list(COLUMNS)].reset_index(drop=True)


def errors(slice, filled, region):
    """MAE, RMSE and mean SSIM over a region's pixels.

    `slice` is the truth, `filled` the slice with the region (bool, not empty) filled in, all of
    shape (height, width), at least `WINDOW_PX` wide and high."""
    difference = (filled[region] - slice[region]).astype(np.float64)
    top, bottom, left, right = regions.bounding_box(region)
    pad = WINDOW_PX  # more than the region's windows see
    near = np.s_[max(top - pad, 0) : bottom + pad, max(left - pad, 0) : right + pad]
    pair = (image[near].astype(np.float64) for image in (slice, filled))
    how = {"win_size": WINDOW_PX, "data_range": float(np.ptp(slice)), "full": True}
    ssim = structural_similarity(*pair, **how)[1][region[near]].mean()
    return np.abs(difference).mean(), np.sqrt((difference**2).mean()), ssim


def _chosen(rows, n_places):
    """The sham rows to make again, in the order of the audit's slices, places and infills."""
    shams = rows[(rows["edit"] == "sham") & (rows["dilation_px"] == 0)]
    dense = set(shams["infill"]) - set(SPARSE_INFILLS)
    made = shams[(shams["reason"] == "") & (shams["place"] >= 0) & (shams["flag"] == "")]
    of_dense = made[made["infill"].isin(dense)]
    n_infills = of_dense.groupby(["slice_id", "place"], sort=False).size()
    everywhere = n_infills.index[n_infills == len(dense)].to_frame(index=False)
    everywhere = everywhere.sort_values("place", kind="stable")
    first = everywhere.groupby("slice_id", sort=False).head(n_places)
    return made.merge(first, on=["slice_id", "place"], how="inner")
