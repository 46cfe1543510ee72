"""The parts of README.md and RESULTS.md that published tables give, one function a part.

A part is Markdown, or None where its table is not published.
"""

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.study import calibration, pooled
from tumorcf_lib.study.side_studies import reader
from tumorcf_lib.tables import classifiers, saliency, study
from tumorcf_lib.tables.fold_scores import PLAIN
from tumorcf_lib.tables.symmetric import ALL_IDS, WHOSE, WITHOUT_MR

MISSING = "Not published yet."
GROUPS = ("all", *config.CLASSES)
EDITS = {
    "original": "as it is",
    "remove": "tumor painted out",
    "sham": "same shape elsewhere (sham)",
    "background": "tumor cut out (air)",
    "only": "tumor alone",
    "sham_only": "sham's tissue alone",
    "silhouette": "silhouette alone",
    "blank": "empty slice",
}
PICTURES = {
    "fig_answer": (
        "Share of slices called right after each edit, by class",
        "Share of slices called by their true class after each edit; every patient "
        "counts the same. Bars: 95 percent intervals.",
    ),
    "fig_headline": (
        "Delta-Drop beside Sham-Drop, by class",
        "Fall of the true class's probability when the tumor is painted out "
        "(Delta-Drop), and when its shape is painted out elsewhere in the head "
        "(Sham-Drop); mean and 95 percent interval over patients.",
    ),
}
SCORES = {
    "delta_drop": "Delta-Drop",
    "sham_drop": "Sham-Drop (control)",
    "net_drop": "**Net-Drop**",
    "delta_focus": "Delta-Focus",
    "net_focus": "Net-Focus",
}
FINDINGS = {
    1: ("Net-Drop", "05_counterfactuals"),
    2: ("P of the tumor alone minus P of a sham's tissue alone", "06_metrics"),
    3: ("Delta-Drop, wrong minus right", "06_metrics"),
    4: ("Net-Drop, pituitary minus", "06_metrics"),
    5: ("share of errors", "04_evaluation"),
    6: ("tumor alone minus background alone", "06_metrics"),
}  # what decides each of the paper's findings, and where to read it
PROBES = {
    "original": "the whole slice",
    "background": "the slice without the tumor (air in its place)",
    "remove": "the slice with the tumor inpainted",
    "silhouette": "the tumor's silhouette on air",
    "mask": "the mask alone",
    "intensity": "gray values outside the tumor",
    "place": "the tumor's place",
    "plane": "the imaging plane",
    "area": "the tumor's area",
}


def published(profile, name):
    """A published table without its cohort column; None where it is not published."""
    try:
        return reader(config.published(profile))(name)
    except FileNotFoundError:
        return None


def interval(row, value="effect"):
    """``0.379 [0.339, 0.418]``, of a row of estimates."""
    number = f"{row[value]:.3f}"
    return number if pd.isna(row["low"]) else f"{number} [{row['low']:.3f}, {row['high']:.3f}]"


def table(heads, rows):
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def answer() -> str:
    """The sentences that answer the title's question, and the picture of it."""
    if published(study.POOLED, "table_still_right") is None:
        return f"- {MISSING}"
    told = "\n".join(f"- {sentence}" for sentence in pooled.answer_sentences())
    folder = config.published(study.POOLED)
    name = next((name for name in PICTURES if (folder / f"{name}.png").is_file()), None)
    if name is None:
        return told
    alt, caption = PICTURES[name]
    return f"{told}\n\n![{alt}](figures/{study.POOLED}/{name}.png)\n\n*{caption}*"


def findings() -> str:
    """The paper's six findings: what it says, our network's number, the verdict, and where."""
    claimed = published(study.POOLED, "table_primary")
    if claimed is None:
        return MISSING
    rows = []
    for number, words in pooled.FINDINGS.items():
        decides, where = FINDINGS[number]
        own = claimed[claimed["finding"] == number]
        several = len(own) > 1
        names = [group.replace("pituitary less ", "") if several else "" for group in own["group"]]
        numbers = [
            f"{name} {interval(row)}".strip()
            for name, (_, row) in zip(names, own.iterrows(), strict=True)
            if pd.notna(row["effect"])
        ]
        told = [_verdict(row) for _, row in own.iterrows()]
        verdicts = [
            verdict + (f": {', '.join(group)}" if several else "")
            for verdict, group in pd.Series(names).groupby(pd.Series(told), sort=False)
        ]
        rows.append(
            [
                f"{number}. {words}",
                f"{decides}: {', '.join(numbers) or 'not measured'}",
                "; ".join(verdicts),
                f"[{where[:2]}](notebooks/{where}.ipynb)",
            ]
        )
    return table(["the paper says", "our network", "verdict", "where"], rows)


def _verdict(row):
    return row["verdict"] + (f" ({row['reason']})" if row["reason"] else "")


def _headline(found):
    """Rows of the kind of network that the answer is about."""
    return found[found["network"] == PLAIN]


def accuracy():
    """Beside what others published, and what the folds say in sentences."""
    found = published(study.POOLED, "table_elsewhere")
    if found is None:
        return None
    rows = [
        [
            row["source"],
            *(
                ""
                if pd.isna(row[name])
                else interval(
                    {"v": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}, "v"
                )
                for name in ("slices", "persons")
            ),
        ]
        for _, row in found.iterrows()
    ]
    told = "\n".join(f"- {sentence}" for sentence in pooled.performance_sentences())
    return f"{table(['patients kept apart', 'slices', 'patients'], rows)}\n\n{told}"


def still_right():
    """Share of slices called right after each edit, by class."""
    found = published(study.POOLED, "table_still_right")
    if found is None:
        return None
    share = _headline(found).set_index(["edit", "group"])["share"]
    rows = [
        [words, *(f"{share[edit, name]:.0%}" for name in config.CLASSES)]
        for edit, words in EDITS.items()
    ]
    return table(["slice", *config.CLASSES], rows)


def scores():
    """The scores on all folds and on one split."""
    sources = {study.POOLED: "all folds", study.REFERENCE: "one split"}
    tables = {words: published(name, "table_scores") for name, words in sources.items()}
    tables = {
        words: found.set_index(["score", "group"])
        for words, found in tables.items()
        if found is not None
    }
    rows = [
        [f"{words}, {group}", *(interval(own.loc[(score, group)]) for own in tables.values())]
        for score, words in SCORES.items()
        for group in GROUPS
    ]
    return table(["score", *tables], rows) if tables else None


def ranking():
    """How much worse each class is separated from the others once tumors are removed."""
    found = published(study.POOLED, "table_auc")
    if found is None:
        return None
    own = _headline(found).set_index(["patients", "group", "whose"])
    rows = [
        [
            f"{name}, patients: {patients}",
            f"{own.loc[(patients, name, WHOSE[0]), 'auc']:.3f}",
            *(interval(own.loc[(patients, name, whose)], "loss") for whose in WHOSE),
        ]
        for patients in (ALL_IDS, WITHOUT_MR)
        for name in config.CLASSES
    ]
    return table(["class", "AUC", *(f"loss, {whose} tumors removed" for whose in WHOSE)], rows)


def transplants():
    """Whether a slice is called by its transplanted tumor's class or by its head's."""
    found = published(study.POOLED, "table_transplants")
    if found is None:
        return None
    own = _headline(found).set_index(["kind", "donor", "host"])
    every, rows = "all", []
    for donor in (every, *config.CLASSES):
        row = own.loc[("conflict", donor, every)]
        moved = own.loc[("control", donor, donor)]
        rows.append(
            [
                donor,
                *(pooled.percent(row, name) for name in ("tumor", "head")),
                f"{row['neither']:.0%}",
                pooled.percent(moved, "tumor"),
            ]
        )
    return table(
        [
            "tumor of class",
            "called the tumor's class",
            "called the head's",
            "called neither",
            "own tumor moved within its head: class kept",
        ],
        rows,
    )


def maps():
    """How much brighter Grad-CAM is on the tumor, and whether that goes with Net-Drop."""
    found = published(study.POOLED, "table_saliency")
    if found is None:
        return None
    own = _headline(found).set_index(["group", "slices"])
    rows = []
    for name in GROUPS:
        row = own.loc[(name, saliency.ALL)]
        rows.append(
            [
                name,
                *(
                    interval(own.loc[(name, slices)], "density")
                    if (name, slices) in own.index
                    else ""
                    for slices in (saliency.ALL, saliency.KEEPS, saliency.LOSES)
                ),
                interval(
                    {
                        "v": row["spearman"],
                        "low": row["spearman_low"],
                        "high": row["spearman_high"],
                    },
                    "v",
                ),
            ]
        )
    return table(
        [
            "class",
            "density on the tumor",
            f"of slices {saliency.KEEPS}",
            f"of slices {saliency.LOSES}",
            "rank correlation with Net-Drop",
        ],
        rows,
    )


def claims():
    """Every primary claim with its null band."""
    found = published(study.POOLED, "table_primary")
    if found is None:
        return None
    bands = [f"{row.null_low:.3f} to {row.null_high:.3f}" for row in found.itertuples()]
    rows = [
        [row["claim"], interval(row), band, _verdict(row)]
        for (_, row), band in zip(found.iterrows(), bands, strict=True)
    ]
    rows = [["" if cell.startswith("nan") else cell for cell in row] for row in rows]
    return table(["claim", "our network", "null band", "verdict"], rows)


def besides():
    """How far one comes without the tumor."""
    found = published(study.REFERENCE, "table_information")
    if found is None:
        return None
    own = found[(found["group"] == "all") & (found["metric"] == "balanced accuracy")]
    by = own.set_index("probe")
    rows = [
        [words, interval(by.loc[name], "value")]
        for name, words in PROBES.items()
        if name in by.index
    ]
    told = table(["what is shown or measured", "balanced accuracy, slices"], rows)
    first = own.iloc[0]
    return f"{told}\n\n{first['n_persons']} tested patients, chance {first['chance']:.3f}."


def controls():
    """Under how many variants of the analysis Net-Drop stays what it is, and drifts."""
    found = published(study.REFERENCE, "table_survival")
    drifts = published(study.POOLED, "table_drift")
    told = [] if found is None else list(found["sentence"])
    if drifts is not None:
        by = drifts.set_index(["group", "slices"])
        falls = [
            f"{name} {interval(by.loc[(name, 'others')])} beside "
            f"{by.loc[(name, 'own'), 'effect']:.3f}"
            for name in config.CLASSES
        ]
        told.append(
            "A drift away from a class would lower its probability on slices of other "
            f"classes, too. Net fall there, beside that on own slices: {', '.join(falls)}."
        )
    return "\n".join(f"- {sentence}" for sentence in told)


def three():
    """The plain, the hardened and the looking network."""
    found = published(study.REFERENCE, "table_networks")
    return None if found is None else three_networks(found)


def three_networks(found):
    """A row a score, a column a network."""
    shown = (
        pd.concat(
            [classifiers.beside_plain(found, group=group).assign(group=group) for group in GROUPS]
        )
        .reset_index()
        .set_index(["score", "infill", "group"])
    )
    lines = {
        ("accuracy", "", "all"): "Accuracy, slices",
        ("person_accuracy", "", "all"): "Accuracy, patients",
    }
    for words, keys in (
        ("**Net-Drop**", ("net_drop", "navier_stokes")),
        ("Net-Drop, other infills", ("net_drop", "unseen")),
        ("Delta-Focus", ("delta_focus", "")),
    ):
        lines |= {(*keys, group): f"{words}, {group}" for group in GROUPS}
    return table(["", *shown.columns], [[words, *shown.loc[keys]] for keys, words in lines.items()])


def known():
    """What the scores say of networks whose answer is known."""
    if published("calibration", "table_null") is None:
        return None
    return "\n".join(f"- {sentence}" for sentence in calibration.sentences())
