"""The website, from what is committed: nothing is run, trained or downloaded.

    pip install -r docs/requirements.txt    (in an environment of its own)
    python docs/build.py                    writes build/site/index.html

README, RESULTS, the gallery, the model card and the notebooks are copied into build/site-source
and their links are turned: a page that is part of the site stays a link, pictures come along, and
everything else (tables, code) leads to the repository.
"""

import html
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = ROOT / "build" / "site-source", ROOT / "build" / "site"
PAGES = {
    "README.md": "index.md",
    "RESULTS.md": "RESULTS.md",
    "DEVELOPING.md": "DEVELOPING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "figures/README.md": "figures/README.md",
    "benchmarks/RESULTS.md": "benchmarks/RESULTS.md",
}
LINK = re.compile(r"\]\(([^)\s]+)\)|(?<=src=\")([^\"]+)(?=\")")
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
TOC = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


def pages():
    """Path in the repository -> path on the site, of every page."""
    found = dict(PAGES)
    for path in sorted(ROOT.glob("notebooks/*.ipynb")) + sorted(ROOT.glob("figures/*/*_CARD.md")):
        found[str(path.relative_to(ROOT))] = str(path.relative_to(ROOT))
    for path in sorted((ROOT / "docs").glob("*.md")):
        found[f"docs/{path.name}"] = path.name
    return {path: to for path, to in found.items() if (ROOT / path).is_file()}


def turned(text, path, made):
    """A page's text with links that lead somewhere on the site; its pictures are copied."""

    def link(match):
        whole, target = match[0], match[1] or match[2]
        place, _, anchor = target.partition("#")
        if "://" in target or not place or place.startswith("_static/"):
            return whole
        there = os.path.normpath(Path(path).parent / place)
        after = f"#{anchor}" if anchor else ""
        here = Path(made[path]).parent
        if there in made:
            new = os.path.relpath(made[there], here)
        elif there.endswith((".png", ".svg")):
            (SOURCE / there).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / there, SOURCE / there)
            new = os.path.relpath(there, here)
        elif not (ROOT / there).exists():
            sys.exit(f"{path} links to {target}, which is not in the repository.")
        else:
            kind = "tree" if (ROOT / there).is_dir() else "blob"
            new = f"{ADDRESS}/{kind}/main/{there}"
        return whole.replace(target, new + after)

    text = re.sub(r"!\[(Open in \w+)\]\(https?://[^)]+\)", r"\1", text)  # no picture from elsewhere
    return LINK.sub(link, text)


def notebook(text, path, made):
    """A notebook whose prose is turned; cells that only install are left out."""
    import nbformat

    read = nbformat.reads(text, 4)
    for cell in read["cells"]:
        if cell["cell_type"] == "markdown":
            words = turned(cell["source"], path, made)
            cell["source"] = re.sub(r"\$\$(.+?)\$\$", r"\n\n$$\1$$\n\n", words, flags=re.S)
        elif "setup" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"] = ["remove-cell"]
        elif cell["source"].startswith(("import ", "from ", "PROFILE")):
            cell["metadata"]["tags"] = ["hide-input"]
    return nbformat.writes(read)


def write_source():
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE, ignore=shutil.ignore_patterns("*.py", "*.md", "*.txt"))
    shutil.copyfile(ROOT / "docs" / "conf.py", SOURCE / "conf.py")
    made = pages()
    for path, to in made.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        text = notebook(text, path, made) if path.endswith(".ipynb") else turned(text, path, made)
        if to == "index.md":
            text += contents(made)
        (SOURCE / to).parent.mkdir(parents=True, exist_ok=True)
        (SOURCE / to).write_text(text, encoding="utf-8")


def contents(made):
    """The table of contents, hidden on the first page and shown at the side of all."""
    rest = [to for to in made.values() if to != "index.md"]
    parts = {
        "Try it": [to for to in rest if to in ("try.md", "cluster.md")],
        "Notebooks": [to for to in rest if to.startswith("notebooks/")],
        "Evidence": [to for to in rest if to.startswith(("RESULTS", "figures/", "benchmarks/"))],
        "The house": [to for to in rest if to in ("DEVELOPING.md", "CHANGELOG.md")],
    }
    return "".join(
        TOC.format(caption=caption, pages="\n".join(own)) for caption, own in parts.items() if own
    )


def broken():
    """Links and pictures of the built pages that lead nowhere on the site."""
    ids, found = {}, []
    texts = {
        page: page.read_text(encoding="utf-8")
        for page in TARGET.rglob("*.html")
        if "_static" not in page.parts
    }
    for page, text in texts.items():
        ids[page] = set(re.findall(r'\bid="([^"]+)"', text))
    for page, text in texts.items():
        for target in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            place, _, anchor = html.unescape(target).partition("#")
            place = unquote(place.partition("?")[0])
            if re.match(r"[a-z]+:", target):
                continue
            there = (page.parent / place).resolve() if place else page
            lacks = anchor and there in ids and unquote(anchor) not in ids[there]
            if not there.exists() or lacks:
                found.append(f"{page.relative_to(TARGET)}: {target}")
    return sorted(set(found))


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    write_source()
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html"]
    status = subprocess.call([*command, str(SOURCE), str(TARGET)])
    (TARGET / ".nojekyll").touch()
    lost = broken() if not status else []
    print(*(f"broken link: {line}" for line in lost), sep="\n")
    print("The site has problems; see above." if status or lost else TARGET / "index.html")
    return int(bool(status or lost))


if __name__ == "__main__":
    sys.exit(main())
