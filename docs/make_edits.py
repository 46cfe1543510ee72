"""Pictures and probabilities of the page "Try an edit": docs/_static/edits.js.

Run in the project's environment (`python docs/make_edits.py`) after the demo was published again.
Probabilities are those of ``figures/demo/rows_edits.csv.gz``; slices are phantoms, drawn again from
their seed, and edited as the rows say. Three slices a class, by percentile of Delta-Drop.
"""

import base64
import io
import json

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from tumorcf_lib import config
from tumorcf_lib.data import preprocess
from tumorcf_lib.edits import plan
from tumorcf_lib.edits.scores import slice_scores
from tumorcf_lib.figures import style
from tumorcf_lib.phantoms import anatomy, cohort
from tumorcf_lib.study.side_studies import reader

TARGET = config.ROOT / "docs" / "_static" / "edits.js"
PERCENTILES = {10: "small", 50: "median", 90: "large"}
EDITS = ("original", "remove", "sham", "background", "only", "silhouette", "blank")
PX = 192  # of the demo's phantoms, before they are resized for the network


def draw(slice_id, n_slices, size_px):
    """Input and mask of one phantom slice, without drawing the cohort around it."""
    patient, k = divmod(int(slice_id) - 1, n_slices)
    heads = anatomy.load_anatomy()
    plan_of = cohort.plan_patient(
        np.random.default_rng([0, patient]), patient % len(config.CLASSES), heads
    )
    rng = np.random.default_rng([0, patient, k + 1])
    slice, mask = cohort.draw_slice(rng, plan_of, k, heads, PX)
    return preprocess.network_input(slice, size_px), preprocess.resize_mask(mask, size_px)


def jpeg(image, low, high):
    gray = np.clip((image - low) / (high - low), 0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(gray.round().astype(np.uint8)).save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode()


def border(region):
    """Positions of the pixels at a region's border."""
    return np.flatnonzero(region & ~binary_erosion(region)).tolist()


def variants(rows, slice, mask, names):
    low, high = float(slice.min()), float(np.percentile(slice, 99.5))
    for _, row in rows.iterrows():
        if row["edit"] not in EDITS or row["place"] > 0 or row["reason"]:
            continue
        region = plan.region_of(mask, row)
        yield {
            "edit": row["edit"],
            "infill": row["infill"],
            "dilation": int(row["dilation_px"]),
            "p": [round(float(row[name]), 3) for name in names],
            "border": border(region),
            "picture": jpeg(plan.recreate(slice, mask, row), low, high),
        }


def main():
    profile, read = config.get("demo"), reader(config.published("demo"))
    rows = read("rows_edits")
    scores, names = slice_scores(rows), [f"p_{name}" for name in config.CLASSES]
    found = []
    for label in config.CLASSES:
        own = scores[scores["label"] == label].sort_values("delta_drop")
        for q, words in PERCENTILES.items():
            slice_id = own.iloc[round((len(own) - 1) * q / 100)]["slice_id"]
            slice, mask = draw(slice_id, profile.phantom_slices, profile.size_px)
            of_slice = rows[rows["slice_id"] == slice_id]
            found.append(
                {
                    "label": label,
                    "drop": words,
                    "slice": int(slice_id),
                    "variants": list(variants(of_slice, slice, mask, names)),
                }
            )
    names = {"edits": {edit: style.EDIT_NAMES[edit] for edit in EDITS[1:]}}
    names["infills"] = {name: style.infill_name(name) for name in rows["infill"].unique() if name}
    made = {"classes": config.CLASSES, "colors": style.CLASS_COLORS, **names}
    made |= {"size": profile.size_px, "slices": found}
    TARGET.write_text(f"const EDITS = {json.dumps(made, separators=(',', ':'))};\n")
    print(f"{TARGET.stat().st_size / 1e3:.0f} kB: {TARGET.relative_to(config.ROOT)}")


if __name__ == "__main__":
    main()
