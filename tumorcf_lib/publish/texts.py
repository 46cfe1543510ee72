"""What README says of the published results, part by part; nothing of it is typed by hand."""

import pandas as pd

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import readme_levels
from tumorcf_lib.study import calibration_publish, pooled
from tumorcf_lib.tables import drift, study
from tumorcf_lib.tables import three_networks as networks

PERFORMANCE_LINES = (
    ("slice", "accuracy", "Accuracy, slices"), ("person", "accuracy", "Accuracy, persons"),
    ("slice", "balanced accuracy", "Balanced accuracy, slices"),
)  # fmt: skip
HEADLINE_SCORES = {
    "delta_drop": "Delta-Drop", "sham_drop": "Sham-Drop (control)", "net_drop": "**Net-Drop**",
    "delta_focus": "Delta-Focus", "net_focus": "Net-Focus",
}  # fmt: skip
NETWORK_LINES = {
    ("accuracy", "", "all"): "Accuracy, slices",
    ("person_accuracy", "", "all"): "Accuracy, persons",
    **{
        ("net_drop", "navier_stokes", group): f"**Net-Drop**, {group}"
        for group in ("all", *config.CLASSES)
    },
    **{
        ("net_drop", "unseen", group): f"Net-Drop, other infills, {group}"
        for group in ("all", *config.CLASSES)
    },
    **{
        ("delta_focus", "", group): f"Delta-Focus, {group}" for group in ("all", *config.CLASSES)
    },
}
"""Score, infill and group of the lines that README shows of the three networks."""

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
"""What is left of a slice, by the names of probes."""


def answer() -> str:
    """One line a class: does the reference network's probability fall with the tumor?

    Read from the net claims of finding 1, on correctly classified slices.
    """
    source, read = _best_reference()
    if read is None:
        return "The reference run on the real slices is not published yet."
    which = "every slice tested out of fold" if source == study.POOLED else "one hold-out split"
    return "\n".join([
        f"On the real slices ({which}), our EfficientNet-Lite0, not the paper's ResNet-50, which "
        "was not run here:\n",
        *(f"- {sentence}" for sentence in pooled.answer_sentences()),
    ])


def headline() -> str:
    """Accuracy and scores on the real slices, all folds and one split, beside the paper's."""
    sources = {
        study.POOLED: "real slices, all folds (`paper-lite-cv`)",
        study.REFERENCE: "real slices, one split (`paper-lite`)",
    }
    reads = {name: _reader(name) for name in sources if _reader(name)}
    if not reads:
        return "The reference run on the real slices is not published yet."
    lines = [
        "| | paper (ResNet-50) | " + " | ".join(sources[name] for name in reads) + " |",
        "|---|---|" + "---|" * len(reads),
    ]

    def line(words, paper, table, *key):
        found = [study.one_network(read(table)) for read in reads.values()]
        cells = " | ".join(_interval(study.estimate(own, *key)) for own in found)
        lines.append(f"| {words} |{paper} | {cells} |")

    for level, metric, words in PERFORMANCE_LINES:
        paper = study.PAPER.get((level, "all", metric))
        paper = "" if paper is None else f" {paper:.2f}"
        line(words, paper, "table_performance", level, "all", metric)
    for score, words in HEADLINE_SCORES.items():
        for group in ("all", *config.CLASSES):
            line(f"{words}, {group}", "", "table_scores", score, group)
    return "\n".join(lines)


def findings_table() -> str:
    """What became of each finding: how many claims ended how, and the main ones in words."""
    source, read = _best_reference()
    if read is None:
        return "The findings on the real slices are not published yet."
    table = read("table_primary")
    lines = [
        "| finding of the paper | what was tested | our network | read against | verdict |",
        "|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        against = "" if pd.isna(row.null_low) else f"{row.null_low:.3f} to {row.null_high:.3f}"
        effect = "" if pd.isna(row.effect) else f"{row.effect:.3f} [{row.low:.3f}, {row.high:.3f}]"
        reason = f" ({row.reason})" if row.reason else ""
        lines.append(
            f"| {row.finding}. {pooled.FINDINGS[row.finding]} | {row.claim} | {effect} | "
            f"{against} | {row.verdict}{reason} |"
        )
    lines.append(
        "\nRead against: where as many networks trained on shuffled labels fall. They are claims "
        "about our network, not about the paper's ResNet-50."
    )
    return "\n".join(lines)


def besides() -> str:
    """What else gives the class away: how far one comes without the tumor."""
    read = _reader(study.REFERENCE, "table_information")
    if read is None:
        return "What else gives the class away is not published yet."
    table = read("table_information")
    table = table[(table["group"] == "all") & (table["metric"] == "balanced accuracy")]
    by_probe = table.set_index("probe")
    lines = ["| what is shown or measured | balanced accuracy, slices |", "|---|---|"]
    for probe, words in PROBES.items():
        if probe in by_probe.index:
            row = by_probe.loc[probe]
            lines.append(f"| {words} | {_interval(row)} |")
    row = table.iloc[0]
    lines.append(
        f"\nOne split, {int(row['n_persons'])} tested persons, chance {row['chance']:.3f}. The "
        "first five are small networks trained anew on what an edit leaves; the others know a few "
        "numbers of a slice."
    )
    return "\n".join(lines)


def controls() -> str:
    """One line a class: under how many variants of the analysis Net-Drop stays what it is."""
    read = _reader(study.REFERENCE, "table_survival")
    if read is None:
        return "The controls on the real slices are not published yet."
    lines = [f"- {sentence}" for sentence in read("table_survival")["sentence"]]
    return "\n".join([*lines, *_drifts()])


def known_answers() -> str:
    """What the scores say of networks whose answer is known."""
    if not (config.published("calibration") / "table_null.csv").is_file():
        return "The calibration is not published yet."
    return "\n".join(f"- {sentence}" for sentence in calibration_publish.sentences())


def pooled_folds() -> str:
    """What all folds say together, and the accuracies published elsewhere."""
    if _reader(study.POOLED) is None:
        return "The pooled folds are not published yet."
    table = rowfiles.read_table(config.published(study.POOLED) / "table_elsewhere.csv")
    lines = ["| patients kept apart | slices | persons |", "|---|---|---|"]
    for row in table.itertuples():
        cells = (
            _cell_with_interval(row.slices, row.slices_low, row.slices_high),
            _cell_with_interval(row.persons, row.persons_low, row.persons_high),
        )
        lines.append(f"| {row.source} | {' | '.join(cells)} |")
    told = "\n".join(f"- {sentence}" for sentence in pooled.performance_sentences())
    return "\n".join([*lines, "", told])


def networks_table() -> str:
    """Accuracy and Net-Drop of the plain, the hardened and the looking network."""
    read = _reader(study.REFERENCE, "table_networks")
    if read is None:
        return "The three networks on the real slices are not published yet."
    table = read("table_networks")
    parts = [
        networks.beside_plain(table, group=group).assign(group=group)
        for group in ("all", *config.CLASSES)
    ]
    shown = pd.concat(parts).reset_index()
    names = [name for name in shown if name not in ("score", "infill", "group")]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for (score, infill, group), words in NETWORK_LINES.items():
        keys = {"score": score, "infill": infill, "group": group}
        row = shown[(shown[list(keys)] == list(keys.values())).all(axis=1)].iloc[0]
        lines.append(f"| {words} | " + " | ".join(row[names]) + " |")
    return "\n".join(lines)


def _cell_with_interval(value, low, high) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")


def _drifts() -> list[str]:
    """The fall of each class's probability on its own slices and on all others, in a sentence."""
    source, _ = _best_reference()
    read = _reader(source, "table_drift")
    if read is None:
        return []
    table = read("table_drift").set_index(["group", "slices"])
    told = ", ".join(
        f"{group} {_interval(table.loc[(group, drift.FOREIGN)], 'effect')} "
        f"beside {table.loc[(group, drift.OWN), 'effect']:.3f}"
        for group in dict.fromkeys(table.index.get_level_values("group"))
    )
    return [
        "- Is it a drift away from a class, whatever slice something is taken from? Then the "
        "class's probability would fall on slices of other classes, too. Its net fall there, "
        f"beside that on its own slices ({source}): {told}."
    ]


def _best_reference():
    """Name and reader of the pooled folds if they are published, else of the one split."""
    source = study.POOLED if _reader(study.POOLED) else study.REFERENCE
    return source, _reader(source)


def _reader(profile_name, table="table_performance"):
    """Reads a published run's tables; None where it, or this table of it, is not published."""
    folder = config.published(profile_name)
    if not (folder / f"{table}.csv").is_file():
        return None
    return lambda name: rowfiles.read_table(folder / f"{name}.csv")


def _interval(entry, value="value") -> str:
    return f"{entry[value]:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


PARTS = {
    "answer": answer, "headline": headline, "pooled": pooled_folds, "findings": findings_table,
    "besides": besides, "controls": controls, "networks": networks_table, "known": known_answers,
    "minutes": readme_levels.minutes_table, "levels": readme_levels.levels,
}  # fmt: skip
"""Name of a part in README -> what makes it."""
