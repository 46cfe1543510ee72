"""What a run's page shows beside its notebooks: the answer, its chart, and slices with edits."""

import base64
import html
import io

import numpy as np
import pandas as pd
from PIL import Image

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import edits
from tumorcf_lib.figures import readings
from tumorcf_lib.stats.rows import headline_rows

MAX_SLICES = 48  # in the gallery, evenly by rank of Net-Drop


def answer(study) -> list[str]:
    """What this run says of the title's question, read from its tables; empty without them."""
    told = []
    for name, say in (("table_fall_to", readings.fall_to), ("table_scores", readings.headline)):
        path = study.folder / "06_metrics" / f"{name}.csv"
        told += [say(rowfiles.read_table(path))] if path.is_file() else []
    return told


def answer_chart(study) -> str:
    """The run's chart of the answer; an empty text without one."""
    folder = study.folder / "06_metrics" / "figures"
    charts = [*sorted(folder.glob("*answer*.png")), *sorted(folder.glob("*headline*.png"))]
    return chart(charts[0].read_bytes()) if charts else ""


def middle(scores, study) -> list[dict]:
    """The slice in the middle of all, by Net-Drop, for the first screen."""
    return with_edits(scores.iloc[len(scores) // 2 :].head(1), study)


def gallery(scores, study) -> list[dict]:
    """Slices of the run, evenly by Net-Drop, each with its edit and its place among classes."""
    at = np.linspace(0, max(len(scores) - 1, 0), min(MAX_SLICES, len(scores))).round()
    chosen = scores.iloc[np.unique(at).astype(int)].reset_index(drop=True)
    if len(chosen):
        order = chosen.sort_values(["label", "net_drop"], ascending=[True, False]).index
        chosen["by_class"] = pd.Series(range(len(chosen)), index=order)
    return with_edits(chosen, study)


def slice_scores(study):
    """slice_id, label, p, p_remove and net_drop of each tested slice, the largest first.

    Empty where the run lacks a file of 01, 02 or 05.
    """
    names = (
        "01_data/slices.csv",
        "02_preprocessing/inputs.npy",
        "02_preprocessing/masks.npy",
        "05_counterfactuals/rows_edits.csv.gz",
    )
    if not all((study.folder / name).is_file() for name in names):
        return pd.DataFrame()
    rows = headline_rows(rowfiles.read_table(study.folder / names[-1]))
    true = rows["label"].map({name: k for k, name in enumerate(config.CLASSES)}).to_numpy(int)
    p = rows[[f"p_{name}" for name in config.CLASSES]].to_numpy()[np.arange(len(rows)), true]
    wide = rows.assign(p=p).groupby(["slice_id", "label", "edit"])["p"].mean().unstack("edit")
    wide = wide.reset_index().assign(net_drop=lambda w: w["sham"] - w["remove"])
    wide = wide.dropna(subset="net_drop").rename(columns={"original": "p", "remove": "p_remove"})
    wide = wide[["slice_id", "label", "p", "p_remove", "net_drop"]]
    return wide.sort_values("net_drop", ascending=False, ignore_index=True)


def with_edits(scores, study) -> list[dict]:
    """Rows of :func:`slice_scores` with two pictures: the slice, and without its tumor."""
    if scores.empty:
        return []
    ids = list(rowfiles.read_table(study.folder / "01_data" / "slices.csv")["slice_id"])
    slices, masks = (
        np.load(study.folder / "02_preprocessing" / name, mmap_mode="r")
        for name in ("inputs.npy", "masks.npy")
    )
    shown = []
    for row in scores.to_dict("records"):
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
