"""README.md, RESULTS.md and CITATION.cff, rebuilt from templates and published tables.

No number is typed. The public address is in ``pyproject.toml`` only.
"""

import re
import tomllib

import pandas as pd

from tumorcf_lib import __version__, config, rowfiles, steps
from tumorcf_lib.figures.style import infill_name
from tumorcf_lib.publish import PublishError, sections
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import stages
from tumorcf_lib.study.notebooks import MEMORY, MINUTES, PROCESSOR
from tumorcf_lib.study.side_studies import published
from tumorcf_lib.tables import study
from tumorcf_lib.tables.controls import grown_px
from tumorcf_lib.tables.symmetric import ALL_IDS, WHOSE, WITHOUT_MR

MARK = "<!-- {name}: made by `python -m tumorcf_lib readme` -->"
COLAB = "https://colab.research.google.com"
BRANCH = "main"  # whose notebooks the badges open, and whose code their setup cells take
SPEEDS = {
    ("reader", "later, and every pixel looked at"): "reading the dataset again / every .mat",
    ("phantom", "phantom.make_cohort"): "drawing phantoms / resampling volumes slice by slice",
    ("inpainting", "edits.remove"): "removing tumors / inpainting the whole slice",
    ("sham places", "shams.legal_places"): "all places of a sham / trying each place",
    ("network", "norms folded"): "prediction with norms folded / as built",
    ("training", "as the profile trains"): "a training step as the profile does / of all layers",
}


def update() -> None:
    """Rebuild README's generated parts, RESULTS.md, and CITATION.cff."""
    path = config.ROOT / "README.md"
    steps.write_whole(path, with_generated_parts(path.read_text(encoding="utf-8")))
    steps.write_whole(config.ROOT / "RESULTS.md", results())
    path = config.ROOT / "CITATION.cff"
    steps.write_whole(path, with_address(path.read_text(encoding="utf-8")))
    print("Rebuilt: README.md, RESULTS.md and CITATION.cff.")


def with_address(citation: str) -> str:
    """CITATION.cff with the public address and this version."""
    for name, value in (("repository-code", f'"{repository_address()}"'), ("version", __version__)):
        citation = re.sub(rf"^{name}: .*$", f"{name}: {value}", citation, flags=re.M)
    return citation


def with_generated_parts(text: str) -> str:
    """README's text with every generated part rebuilt."""
    parts = {
        "badges": badges("notebooks/01_data.ipynb"),
        "answer": sections.part("answer"),
        "findings": sections.part("findings"),
        "clone": f"```bash\ngit clone {repository_address()}\ncd tumorcf\n```",
    }
    for name, content in parts.items():
        opening, closing = MARK.format(name=name), f"<!-- end of {name} -->"
        block = f"{opening}\n{content}\n{closing}"
        pattern = re.escape(opening) + ".*?" + re.escape(closing)
        text, n_found = re.subn(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        if n_found != 1:
            raise PublishError(f"README.md has {n_found} places for its generated part {name!r}.")
    return text


def results() -> str:
    """RESULTS.md: all that is published, from its tables."""
    text = sections.render(
        "RESULTS.md.j2",
        sections=sections,
        cv=published(study.POOLED),
        lite=published(study.REFERENCE),
        kept_apart=(ALL_IDS, WITHOUT_MR),
        removed=WHOSE,
        grown_px=grown_px,
        infill_name=infill_name,
        took=took,
        total=total,
        stages=stages.NAMES,
        minutes={name: own for name in config.PROFILES if (own := minutes_of(name))},
        speed=speed(),
    )
    return of_patients(text)


# -- openings of the notebooks --------------------------------------------------------------------


def repository_address() -> str:
    """The public address, which is written in ``pyproject.toml`` only."""
    text = (config.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["urls"]["Repository"]


def badges(path: str) -> str:
    """Binder and Colab badges of a notebook."""
    address = repository_address().removeprefix("https://github.com/")
    binder = f"https://mybinder.org/v2/gh/{address}/HEAD?urlpath=lab/tree/{path}"
    return (
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder}) "
        f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
        f"({COLAB}/github/{address}/blob/{BRANCH}/{path})"
    )


# -- minutes and speed ----------------------------------------------------------------------------


def minutes_of(profile) -> dict:
    """Minutes of each notebook in a published run; empty if it is not published."""
    path = config.published(profile) / MINUTES
    return steps.read_json(path) if path.is_file() else {}


def total(minutes, names=stages.NAMES):
    """Minutes of several notebooks together."""
    return sum(minutes.get(name, 0) for name in names)


def took(level) -> str:
    """Measured time and memory of a level of reproduction, ending in a comma; or nothing."""
    if level == "reference" and (own := minutes_of("paper-lite")):
        return f"{total(own, stages.NAMES[3:]):.0f} minutes ({own[PROCESSOR]}), "
    if own := minutes_of(level):
        memory = f"{own[MEMORY]:.1f} GB of memory, " if MEMORY in own else ""
        return f"{total(own):.0f} minutes ({own[PROCESSOR]}), {memory}"
    units = config.published(level) / "units.csv"
    if units.is_file():
        each = rowfiles.read_table(units).query("network == 'plain'")["minutes"]
        return f"{each.min():.0f} to {each.max():.0f} minutes a fold, 2 cores, "
    return ""


def speed():
    """How much faster than the obvious way, from the committed benchmarks."""
    path = config.ROOT / "benchmarks" / "results.csv"
    found = pd.read_csv(path, keep_default_na=False, na_values=[""])
    rows = []
    for (benchmark, case), words in SPEEDS.items():
        named = found["case"].str.partition(":")[0] == case
        own = found[(found["benchmark"] == benchmark) & named]
        told = [f"{float(f'{ratio:.2g}'):.10g}" for ratio in own["ratio"]]
        if len(own) > 1:
            settings = own["setting"].str.split(", ").str[-1]
            told = [f"{ratio} ({setting})" for ratio, setting in zip(told, settings, strict=True)]
        rows.append([*words.split(" / "), ", ".join(told)])
    lines = [["what", "beside the obvious way", "times as fast"], ["---"] * 3, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
