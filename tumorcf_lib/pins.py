"""Whether this interpreter has exactly the pinned packages; needs nothing but Python."""

import importlib.metadata
import re
import sys


def read_pins(path) -> dict[str, str]:
    """Package and version of every ``name==version`` line that applies to this platform.

    Lines with an environment marker are left out: whether they apply is the
    installer's business, and none of the packages we import ourselves has one.
    """
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    pairs = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in pairs if match}


def unmet(path) -> list[str]:
    """What is missing or of another version here, in words."""
    problems = []
    for name, wanted in read_pins(path).items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "nothing"
        if found != wanted:
            problems.append(f"{name}: {wanted} is pinned, {found} is installed")
    return problems


if __name__ == "__main__":
    differences = unmet(sys.argv[1])
    print("\n".join(differences) or "every pin is met")
    sys.exit(bool(differences))
