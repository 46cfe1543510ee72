"""Workspaces: folders of long work that is resumed as long as what it depends on stays the same.

A workspace is trusted while its stage runs, since each of its files is written as a whole.
When the stage is finished the files are sealed by their hashes: what somebody changes later
is noticed before it is read again.
"""

import json
from pathlib import Path

from tumorcf_lib import digests, files, paths

SEAL = "sealed.json"
SECONDS = "seconds.txt"


def open_workspace(parent: Path, name: str, depends_on: dict, *, fresh=False) -> Path:
    """The folder of this work, as it was left; empty if it is new, changed, or asked anew.

    Workspaces of this name that depended on something else are removed.

    Parameters
    ----------
    parent : pathlib.Path
        The stage's folder.
    depends_on : dict
        All that the work's result depends on.
    fresh : bool
        Whether to begin anew.
    """
    mark = digests.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode())[:10]
    folder = parent / f"{name}-{mark}"
    for old in parent.glob(f"{name}-??????????"):
        if old != folder:
            files.remove_whole(old)
    changed = changed_file(folder)
    if changed:
        print(f"{paths.shown(folder / changed)} is not as it was made: made again.", flush=True)
    if changed or fresh:
        files.remove_whole(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget_checkpoints(folder: Path) -> None:
    """Remove the states of trainings in a folder and below, when their results are stored."""
    for path in folder.rglob(files.CHECKPOINT):
        path.unlink()


def seal(folder: Path) -> None:
    """Remember the hash of every file, when the work is finished."""
    forget_checkpoints(folder)
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL]
    hashes = {path.relative_to(folder).as_posix(): digests.file_sha256(path) for path in found}
    files.write_whole(folder / SEAL, json.dumps(hashes, indent=1) + "\n")


def unseal(folder: Path) -> None:
    """Trust the files again as they are, before work on them goes on."""
    (folder / SEAL).unlink(missing_ok=True)


def changed_file(folder: Path) -> str | None:
    """A file that is not as it was sealed, or the seal itself if it is damaged; else None."""
    if not (folder / SEAL).is_file():
        return None
    try:
        hashes = dict(json.loads((folder / SEAL).read_text(encoding="utf-8", errors="replace")))
    except (ValueError, TypeError):
        return SEAL
    for name, digest in hashes.items():
        path = folder / name
        if not path.is_file() or digests.file_sha256(path) != digest:
            return name
    return None


def note_seconds(folder: Path, seconds: float) -> None:
    """Remember how long a workspace's content took, for a run that only reads it again."""
    files.write_whole(folder / SECONDS, f"{seconds:.1f}\n")


def kept_seconds(folder: Path) -> float:
    """Seconds that the workspaces of a stage's folder took when they were made."""
    paths = folder.glob(f"*/{SECONDS}")
    texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in paths]
    return sum(float(text) for text in texts if text.replace(".", "", 1).isdecimal())
