"""The generated parts of README and notebooks: badges, setup cells, minutes, headline tables.

Nothing here is typed: addresses come from ``pyproject.toml``, numbers from the published
files under ``figures/``.
"""

import json
import re
import tomllib

import pandas as pd

from tumorcf_lib import (
    calibration_publish,
    config,
    findings,
    networks,
    paths,
    pooled,
    results,
    speed,
    stages,
    tables,
)

MARK = "<!-- {name}: made by `python -m tumorcf_lib publish` -->"
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
BINDER_BADGE = "https://mybinder.org/badge_logo.svg"
MINUTES = "minutes.json"
SETUP = "setup"  # tag of the cell that installs on Colab
EXTRAS = {"audit_your_model": "[onnx]"}
"""What a notebook needs beside the package's own requirements, by the notebook's name."""

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

FINDINGS = {
    1: "Removing the tumor lowers confidence",
    2: "The tumor alone keeps substantial probability",
    3: "Misclassified slices score lower",
    4: "Pituitary is the most consistent",
    5: "Errors are mostly meningioma-glioma",
    6: "The tumor counts more than the background",
}


class ReadmeError(RuntimeError):
    """A README without exactly one place for a generated part."""


def repository_address() -> str:
    """The public address, which is written in ``pyproject.toml`` only."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    return project["urls"]["Repository"]


def badges(path: str) -> str:
    """Binder and Colab badges of a notebook."""
    address = repository_address().removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{address}/HEAD?urlpath=lab/tree/{path}"
    colab = f"https://colab.research.google.com/github/{address}/blob/main/{path}"
    return (
        f"[![Open in Binder]({BINDER_BADGE})]({binder}) [![Open in Colab]({COLAB_BADGE})]({colab})"
    )


def setup_cell(name: str) -> str:
    """Source of a notebook's second cell: on Colab it fetches and installs this repository.

    Colab's own TensorFlow, Keras and NumPy are held at their versions: they fit its drivers, and
    a kernel that has begun cannot change them. Run again (the kernel was restarted, another
    notebook on the same machine), it takes the clone that is there.
    """
    return (
        "import sys\n\n"
        'if "google.colab" in sys.modules:  # everywhere else the environment is already there\n'
        f"    !test -d tumorcf || git clone -q --depth 1 {repository_address()} tumorcf\n"
        '    !pip list --format=freeze | grep -E "^(tensorflow|keras|numpy)==" > keep.txt\n'
        f'    !pip install -q -e "./tumorcf{EXTRAS.get(name, "")}" -c keep.txt  # adds the rest\n'
        '    sys.path.insert(0, "tumorcf")'
    )


def update() -> None:
    """Write the generated parts of README and of every notebook's opening anew."""
    import nbformat  # here: it takes half a second to import, which `verify` need not wait for

    path = paths.ROOT / "README.md"
    path.write_text(with_generated_parts(path.read_text()))
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        made = with_opening(json.loads(path.read_text()), path.stem)
        nbformat.write(nbformat.from_dict(made), path)


def with_generated_parts(text: str) -> str:
    """README's text with every generated part made anew.

    Raises
    ------
    ReadmeError
        If a part has no place, or several.
    """
    for name, content in parts().items():
        opening, closing = MARK.format(name=name), f"<!-- end of {name} -->"
        pattern = re.escape(opening) + ".*?" + re.escape(closing)
        block = f"{opening}\n{content}\n{closing}"
        text, n_found = re.subn(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        if n_found != 1:
            raise ReadmeError(f"README.md has {n_found} places for its generated part {name!r}.")
    return text


def parts() -> dict[str, str]:
    """Generated parts of the README by name."""
    return {
        "badges": badges("notebooks/01_data.ipynb"),
        "answer": answer(),
        "headline": headline(),
        "pooled": pooled_folds(),
        "findings": findings_table(),
        "controls": controls(),
        "networks": networks_table(),
        "known": known_answers(),
        "minutes": minutes_table(),
        "speed": speed.paragraph(),
    }


def answer() -> str:
    """One line a class: does the reference network's probability fall with the tumor?

    Read from the net claims of finding 1, on correctly classified slices.
    """
    source, read = _best_reference()
    if read is None:
        return "The reference run on the real slices is not published yet."
    which = "every slice tested out of fold" if source == tables.POOLED else "one hold-out split"
    told = findings.answers(read("table_findings"))
    return "\n".join([
        f"In short, on the real slices ({which}), net of the sham and on correctly classified "
        "slices:\n",
        *(f"- **{group}**: {words}." for group, words in told.items()),
    ])


def headline() -> str:
    """Accuracy and scores on the real slices, all folds and one split, beside the paper's."""
    sources = {
        tables.POOLED: "real slices, all folds (`paper-lite-cv`)",
        tables.REFERENCE: "real slices, one split (`paper-lite`)",
    }
    reads = {name: _reader(name) for name in sources if _reader(name)}
    if not reads:
        return "The reference run on the real slices is not published yet."
    lines = [
        "| | paper (ResNet-50) | " + " | ".join(sources[name] for name in reads) + " |",
        "|---|---|" + "---|" * len(reads),
    ]

    def line(words, paper, table, *key):
        found = [tables.one_network(read(table)) for read in reads.values()]
        cells = " | ".join(_interval(tables.estimate(own, *key)) for own in found)
        lines.append(f"| {words} |{paper} | {cells} |")

    for level, metric, words in PERFORMANCE_LINES:
        paper = tables.PAPER.get((level, "all", metric))
        paper = "" if paper is None else f" {paper:.2f}"
        line(words, paper, "table_performance", level, "all", metric)
    for score, words in HEADLINE_SCORES.items():
        for group in ("all", *config.CLASSES):
            line(f"{words}, {group}", "", "table_scores", score, group)
    return "\n".join(lines)


def findings_table() -> str:
    """How many claims of each finding held, as the paper states it and net of its control."""
    source, read = _best_reference()
    if read is None:
        return "The findings on the real slices are not published yet."
    counts = findings.overview(read("table_findings"))
    lines = [
        "| finding of the paper | as stated | net of its control | in log-odds |",
        "|---|---|---|---|",
    ]
    for number, words in FINDINGS.items():
        cells = " | ".join(counts.loc[number, list(findings.FORMS)])
        lines.append(f"| {number}. {words} | {cells} |")
    lines.append(
        "\nClaims supported / refuted / undecided; every claim with its interval is in "
        f"[`table_findings.csv`](figures/{source}/table_findings.csv)."
    )
    return "\n".join(lines)


def pooled_folds() -> str:
    """What all folds say together, and the accuracies published elsewhere."""
    if _reader(tables.POOLED) is None:
        return "The pooled folds are not published yet."
    table = results.read_table(paths.published(tables.POOLED) / "table_elsewhere.csv")
    lines = ["| patients kept apart | slices | persons |", "|---|---|---|"]
    for row in table.itertuples():
        cells = (
            _cell_with_interval(row.slices, row.slices_low, row.slices_high),
            _cell_with_interval(row.persons, row.persons_low, row.persons_high),
        )
        lines.append(f"| {row.source} | {' | '.join(cells)} |")
    told = "\n".join(f"- {sentence}" for sentence in pooled.performance_sentences())
    return "\n".join([*lines, "", told])


def controls() -> str:
    """One line a class: under how many variants of the analysis Net-Drop stays what it is."""
    read = _reader(tables.REFERENCE, "table_survival")
    if read is None:
        return "The controls on the real slices are not published yet."
    return "\n".join(f"- {sentence}" for sentence in read("table_survival")["sentence"])


def networks_table() -> str:
    """Accuracy and Net-Drop of the plain, the hardened and the looking network."""
    read = _reader(tables.REFERENCE, "table_networks")
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


def known_answers() -> str:
    """What the scores say of networks whose answer is known."""
    if not (paths.published("calibration") / "table_null.csv").is_file():
        return "The calibration is not published yet."
    return "\n".join(f"- {sentence}" for sentence in calibration_publish.sentences())


def minutes_table() -> str:
    """Minutes of every notebook in the published runs."""
    published = [name for name in config.PROFILES if _minutes(name)]
    lines = ["| notebook | " + " | ".join(published) + " |", "|---|" + "---|" * len(published)]
    for name in stages.NAMES:
        cells = " | ".join(_cell(_minutes(p).get(name)) for p in published)
        lines.append(f"| [{name}](notebooks/{name}.ipynb) | {cells} |")
    sums = [sum(_minutes(p).get(name, 0) for name in stages.NAMES) for p in published]
    total = " | ".join(f"**{minutes:.1f}**" for minutes in sums)
    return "\n".join([*lines, f"| all | {total} |"])


def runtime_line(notebook: str) -> str:
    """Measured minutes of one notebook, for its opening cell."""
    measured = {p: _minutes(p).get(notebook) for p in config.PROFILES}
    words = [f"{p} {_cell(minutes)} min" for p, minutes in measured.items() if minutes is not None]
    return f"**Runtime** {', '.join(words) or 'not measured yet'} (2 CPU cores)"


def with_opening(notebook: dict, name: str) -> dict:
    """A notebook whose opening cells have its badges, its setup and its measured minutes.

    Prose around them is left as it is; so is an opening that has no such places.
    """
    cells = notebook["cells"]
    opening = "".join(cells[0]["source"])
    opening = re.sub(r"\*\*Runtime\*\*.*", lambda _: runtime_line(name), opening)
    own = badges(f"notebooks/{name}.ipynb")
    cells[0]["source"] = re.sub(r"^\[!\[Open in Binder\].*", lambda _: own, opening, flags=re.M)
    for cell in cells:
        if SETUP in cell["metadata"].get("tags", []):
            cell["source"] = setup_cell(name)
    return notebook


def _cell_with_interval(value, low, high) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")


def _cell(minutes) -> str:
    return "" if minutes is None else f"{minutes:.1f}"


def _minutes(profile_name) -> dict:
    path = paths.published(profile_name) / MINUTES
    return json.loads(path.read_text()) if path.is_file() else {}


def _best_reference():
    """Name and reader of the pooled folds if they are published, else of the one split."""
    source = tables.POOLED if _reader(tables.POOLED) else tables.REFERENCE
    return source, _reader(source)


def _reader(profile_name, table="table_findings"):
    """Reads a published run's tables; None where it, or this table of it, is not published."""
    folder = paths.published(profile_name)
    if not (folder / f"{table}.csv").is_file():
        return None
    return lambda name: results.read_table(folder / f"{name}.csv")


def _interval(entry) -> str:
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
