"""How good is an infill where the truth is known? Filled shams compared with the real tissue.

Under a tumor nobody knows what healthy tissue would look like. Under a sham it is there, and
was only hidden. The error does not tell how natural a filling looks: it rewards the smooth guess,
which holds no detail that could be wrong. Its table is made in :mod:`tables.controls`.
"""

import numpy as np
import pandas as pd
from tqdm import tqdm

from tumorcf_lib.edits import plan

COLUMNS = ("slice_id", "person_id", "label", "infill", "place", "n_pixels", "mae")


def measure(prepared, rows, *, n_places=2, progress=False) -> pd.DataFrame:
    """Mean absolute error of every infill on the first sham places of each slice.

    Places are the first `n_places` without a flag (not over scalp or air) at which all infills were
    audited. mae is over the region, in standard deviations of the slice; lower is better."""
    chosen = _chosen(rows, n_places)
    positions = pd.Index(prepared.table["slice_id"]).get_indexer(chosen["slice_id"])
    errors = []
    pairs = zip(positions, chosen.to_dict("records"), strict=True)
    for i, row in tqdm(pairs, desc="infills", total=len(chosen), disable=not progress):
        slice, mask = np.asarray(prepared.slices[i]), np.asarray(prepared.masks[i])
        filled, region = plan.recreate(slice, mask, row), plan.region_of(mask, row)
        errors.append(np.abs(filled[region] - slice[region]).mean(dtype=np.float64))
    return chosen.assign(mae=np.array(errors, float))[list(COLUMNS)].reset_index(drop=True)


def _chosen(rows, n_places):
    """The sham rows to make again, in the order of the audit's slices, places and infills."""
    shams = rows[(rows["edit"] == "sham") & (rows["dilation_px"] == 0)]
    made = shams[(shams["reason"] == "") & (shams["place"] >= 0) & (shams["flag"] == "")]
    n_infills = made.groupby(["slice_id", "place"], sort=False).size()
    everywhere = n_infills.index[n_infills == shams["infill"].nunique()].to_frame(index=False)
    everywhere = everywhere.sort_values("place", kind="stable")
    first = everywhere.groupby("slice_id", sort=False).head(n_places)
    return made.merge(first, on=["slice_id", "place"], how="inner")
