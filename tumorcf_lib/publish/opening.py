"""The first screen of a run's page, and a gallery of its slices; no script, only CSS."""

import base64
import html
import io

import numpy as np
import pandas as pd
from PIL import Image

from tumorcf_lib import config, rowfiles
from tumorcf_lib.edits import plan
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.figures import readings

MAX_SLICES = 48  # in the gallery, evenly by rank of Net-Drop
ORDERS = {"largest": "largest Net-Drop first", "smallest": "smallest first", "class": "by class"}


def answer(study) -> list[str]:
    """What this run says of the title's question, read from its tables; empty without them."""
    told = []
    for name, say in (("table_fall_to", readings.fall_to), ("table_scores", readings.headline)):
        path = study.folder / "06_metrics" / f"{name}.csv"
        told += [say(rowfiles.read_table(path))] if path.is_file() else []
    return told


def first_screen(study) -> list[str]:
    """The chart of the answer and one slice, which shows its edit on hover or tap."""
    charts = [
        path
        for name in ("*answer*", "*headline*")
        for path in sorted((study.folder / "06_metrics" / "figures").glob(f"{name}.png"))
    ]
    scores = slice_scores(study)
    parts = [chart(charts[0].read_bytes())] if charts else []
    if len(scores):
        middle = scores.iloc[len(scores) // 2 : len(scores) // 2 + 1]
        parts += [swap(study, row) for row in middle.itertuples()]
    return [f'<div class="first">{"".join(parts)}</div>'] if parts else []


def gallery(study) -> list[str]:
    """Slices of the run with their edit, sorted by Net-Drop or class."""
    scores = slice_scores(study)
    if not len(scores):
        return []
    at = np.unique(np.linspace(0, len(scores) - 1, min(MAX_SLICES, len(scores))).round())
    chosen = scores.iloc[at.astype(int)].reset_index(drop=True)
    by_class = chosen.sort_values(["label", "net_drop"], ascending=[True, False]).index
    places = pd.Series(range(len(chosen)), index=by_class)
    buttons = "".join(
        f'<input type="radio" name="order" id="{name}"{" checked" if name == "largest" else ""}>'
        f'<label for="{name}">{words}</label> '
        for name, words in ORDERS.items()
    )
    shown = "".join(
        swap(study, row, f"--largest: {k}; --smallest: {-k}; --class: {places[k]}")
        for k, row in enumerate(chosen.itertuples())
    )
    return [
        f"<h2>{len(chosen)} of {len(scores)} tested slices</h2>",
        '<p class="small">Hover or tap a slice to see it with its tumor painted out.</p>',
        f'<div>{buttons}<div class="gallery">{shown}</div></div>',
    ]


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
    rows = rowfiles.read_table(study.folder / names[-1])
    rows = rows[(rows["dilation_px"] == 0) & rows["infill"].isin(["", HEADLINE_INFILL])]
    true = rows["label"].map({name: k for k, name in enumerate(config.CLASSES)}).to_numpy(int)
    p = rows[[f"p_{name}" for name in config.CLASSES]].to_numpy()[np.arange(len(rows)), true]
    wide = rows.assign(p=p).groupby(["slice_id", "label", "edit"])["p"].mean().unstack("edit")
    wide = wide.reset_index().assign(net_drop=lambda w: w["sham"] - w["remove"])
    wide = wide.dropna(subset="net_drop").rename(columns={"original": "p", "remove": "p_remove"})
    wide = wide[["slice_id", "label", "p", "p_remove", "net_drop"]]
    return wide.sort_values("net_drop", ascending=False, ignore_index=True)


def swap(study, row, style="") -> str:
    """One slice that shows its tumor-removed edit on hover or tap."""
    table = rowfiles.read_table(study.folder / "01_data" / "slices.csv")
    at = int(np.flatnonzero(table["slice_id"] == row.slice_id)[0])
    slice, mask = (
        np.asarray(np.load(study.folder / "02_preprocessing" / f"{name}.npy", mmap_mode="r")[at])
        for name in ("inputs", "masks")
    )
    edit = pd.Series(
        {
            "edit": "remove",
            "infill": HEADLINE_INFILL,
            "dilation_px": 0,
            "offset_y": 0,
            "offset_x": 0,
            "mirrored": False,
            "reason": "",
        }
    )
    images = (slice, plan.recreate(slice, mask, edit))
    shown = "".join(
        f'<img alt="{words}" src="{_jpeg(image, slice)}">'
        for image, words in zip(
            images, (f"{row.label}, as it is", "tumor painted out"), strict=True
        )
    )
    caption = (
        f"{row.label}: P {row.p:.2f}, without its tumor {row.p_remove:.2f}; "
        f"Net-Drop {row.net_drop:.2f}"
    )
    return (
        f'<figure style="{style}"><label class="swap"><input type="checkbox">{shown}</label>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


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
