"""What a run's page shows beside its notebooks: the answer, its chart, and slices with edits."""

import base64
import html
import io

import numpy as np
import pandas as pd
from PIL import Image

from tumorcf_lib import rowfiles
from tumorcf_lib.edits import edits, scores
from tumorcf_lib.figures import readings

MAX_SLICES = 48  # in the gallery, evenly by rank of Net-Drop
SLICES, ROWS = "01_data/slices.csv", "05_counterfactuals/rows_edits.csv.gz"
INPUTS, MASKS = "02_preprocessing/inputs.npy", "02_preprocessing/masks.npy"


def of_run(study) -> dict:
    """What the page shows of a run: the answer read from its tables, its chart, the slice in the
    middle of all by Net-Drop, and the gallery; each empty where the run lacks it."""
    folder, told = study.folder / "06_metrics", []
    for name, say in (("table_fall_to", readings.fall_to), ("table_scores", readings.headline)):
        path = folder / f"{name}.csv"
        told += [say(rowfiles.read_table(path))] if path.is_file() else []
    charts = [*folder.glob("figures/*answer*.png"), *folder.glob("figures/*headline*.png")]
    found = slice_scores(study)
    return {
        "answer": told,
        "chart": chart(charts[0].read_bytes()) if charts else "",
        "middle": with_edits(found.iloc[len(found) // 2 :].head(1), study),
        "gallery": gallery(found, study),
        "n_tested": len(found),
    }


def gallery(found, study) -> list[dict]:
    """Slices of the run, evenly by Net-Drop, each with its edit and its place among classes."""
    at = np.linspace(0, max(len(found) - 1, 0), min(MAX_SLICES, len(found))).round()
    chosen = found.iloc[np.unique(at).astype(int)].reset_index(drop=True)
    if len(chosen):
        order = chosen.sort_values(["label", "net_drop"], ascending=[True, False]).index
        chosen["by_class"] = pd.Series(range(len(chosen)), index=order)
    return with_edits(chosen, study)


def slice_scores(study):
    """slice_id, label, p, p_remove and net_drop of each tested slice, the largest first.

    Empty where the run lacks a file of 01, 02 or 05.
    """
    if not all((study.folder / name).is_file() for name in (SLICES, INPUTS, MASKS, ROWS)):
        return pd.DataFrame()
    found = scores.slice_scores(rowfiles.read_table(study.folder / ROWS))
    found = found.dropna(subset="net_drop").rename(columns={"p_orig": "p"})
    found = found[["slice_id", "label", "p", "p_remove", "net_drop"]]
    return found.sort_values("net_drop", ascending=False, kind="stable", ignore_index=True)


def with_edits(chosen, study) -> list[dict]:
    """Rows of :func:`slice_scores` with two pictures: the slice, and without its tumor."""
    if chosen.empty:
        return []
    ids = list(rowfiles.read_table(study.folder / SLICES)["slice_id"])
    slices, masks = (np.load(study.folder / name, mmap_mode="r") for name in (INPUTS, MASKS))
    shown = []
    for row in chosen.to_dict("records"):
        at = ids.index(row["slice_id"])
        slice, mask = np.asarray(slices[at]), np.asarray(masks[at])
        edited = edits.remove(slice, mask)
        shown.append(row | {"picture": _jpeg(slice, slice), "edited": _jpeg(edited, slice)})
    return shown


def chart(png: bytes, alt="The answer in one chart") -> str:
    """A figure that fits the page, and has its own size on a tap."""
    with Image.open(io.BytesIO(png)) as picture:
        width = picture.width
    data = base64.b64encode(png).decode()
    return (
        f'<figure class="plot" style="--natural: {width}px"><label class="zoom">'
        f'<input type="checkbox"><img alt="{html.escape(alt)}" '
        f'src="data:image/png;base64,{data}"></label></figure>'
    )


def _jpeg(image, like):
    """A slice in the window of another, inside the page."""
    low, high = float(like.min()), float(like.max())
    gray = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(gray.round().astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
