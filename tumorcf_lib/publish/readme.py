"""The generated parts of README and notebooks: badges, setup cells, minutes, headline tables.

Nothing here is typed: addresses come from ``pyproject.toml``, numbers from the published
files under ``figures/``.
"""

import json
import re
import tomllib

from tumorcf_lib import config, steps
from tumorcf_lib.publish import readme_levels, speed, texts

MARK = "<!-- {name}: made by `python -m tumorcf_lib publish` -->"
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
BINDER_BADGE = "https://mybinder.org/badge_logo.svg"
SETUP = "setup"  # tag of the cell that installs on Colab
EXTRAS = {"audit_your_model": "[onnx]"}
"""What a notebook needs beside the package's own requirements, by the notebook's name."""


class ReadmeError(RuntimeError):
    """A README without exactly one place for a generated part."""


def repository_address() -> str:
    """The public address, which is written in ``pyproject.toml`` only."""
    project = tomllib.loads((config.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
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
    path = config.ROOT / "README.md"
    steps.write_whole(path, with_generated_parts(path.read_text(encoding="utf-8")))
    for path in sorted(config.NOTEBOOKS.glob("*.ipynb")):
        write_notebook(path, with_opening(json.loads(path.read_text(encoding="utf-8")), path.stem))


def write_notebook(path, made: dict) -> None:
    """Write a committed notebook, as a whole: a half one would stop every command."""
    import nbformat  # here: it takes half a second to import, which `verify` need not wait for

    steps.write_whole(path, nbformat.writes(nbformat.from_dict(made)) + "\n")


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
        **{name: make() for name, make in texts.PARTS.items()},
        "speed": speed.paragraph(),
    }


def with_opening(notebook: dict, name: str) -> dict:
    """A notebook whose opening cells have its badges, its setup and its measured minutes.

    Prose around them is left as it is; so is an opening that has no such places.
    """
    cells = notebook["cells"]
    opening = "".join(cells[0]["source"])
    opening = re.sub(r"\*\*Runtime\*\*.*", lambda _: readme_levels.runtime_line(name), opening)
    own = badges(f"notebooks/{name}.ipynb")
    cells[0]["source"] = re.sub(r"^\[!\[Open in Binder\].*", lambda _: own, opening, flags=re.M)
    for cell in cells:
        if SETUP in cell["metadata"].get("tags", []):
            cell["source"] = setup_cell(name)
    return notebook
