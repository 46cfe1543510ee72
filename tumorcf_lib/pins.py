"""Whether this interpreter has exactly the pinned packages; needs nothing but Python."""

import importlib.metadata
import re
import sys

TWINS = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python"),
    "tensorflow": ("tensorflow-cpu",),
}
"""The same modules under another distribution's name: either will do."""


def version_of(package) -> str:
    """Version of a package, or of its twin; of OpenCV, what the module itself says it is.

    Colab has three distributions of that one module, of which only the last installed is there.
    """
    found = [v for v in map(_version, (package, *TWINS.get(package, ()))) if v]
    if package == "opencv-python-headless":
        import cv2

        found = [v for v in found if v.startswith(cv2.__version__)] or [cv2.__version__]
    return found[0] if found else "not installed"


def read_pins(path) -> dict[str, str]:
    """Package and version of every ``name==version`` line without a platform's marker."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    pairs = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in pairs if match}


def unmet(path) -> list[str]:
    """What is missing or of another version here, in words."""
    problems = []
    for name, wanted in read_pins(path).items():
        found = [_version(known) for known in (name, *TWINS.get(name, ()))]
        if wanted not in found:
            has = next(filter(None, found), "nothing")
            problems.append(f"{name}: {wanted} is pinned, {has} is installed")
    return problems


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    differences = unmet(sys.argv[1])
    print("\n".join(differences) or "every pin is met")
    sys.exit(bool(differences))
