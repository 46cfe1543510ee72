"""The one store of kept results: made once, whole or not there, by one writer, checked when read.

A result's folder remembers in ``step.json`` what it was made of and, when it is finished, the hash
of each of its files. Code counts by the modules that are named, without comments and docstrings.
"""

import ast
import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

from tumorcf_lib import config

try:
    import fcntl
except ImportError:  # Windows outside WSL: nothing is held there
    fcntl = None

UNFINISHED = "unfinished-"
"""Begins the name of whatever is being written or removed; a kill may leave it, and it counts
for nothing."""

CHECKPOINT = "checkpoint.npz"
"""State of a training, as big as some networks: of no use once what was trained is stored."""

WAIT_S = 10.0
"""A kernel whose runner was killed notices within a second or two, and ends."""

_held: dict[Path, int] = {}


class DiskFullError(OSError):
    """No room for a file that is about to be written."""


class InUseError(RuntimeError):
    """A folder that another process writes to; ``holder`` is its number, 0 if unknown."""

    def __init__(self, path, holder):
        self.holder = holder
        super().__init__(f"{path} is held by process {holder or 'unknown'}")


# -- files and folders that are there as a whole or not at all ---------------


@contextlib.contextmanager
def being_written(path: Path):
    """Another name, of the same suffix, to write a file under; it gets its own when all of it is
    on the disk. After an error the half is removed: on a full disk it would be in the way."""
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        yield unfinished
        with open(unfinished, "r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that is there as a whole or not at all; text as UTF-8."""
    with being_written(path) as unfinished:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, which has its new name when it is complete."""
    with being_written(target) as unfinished:
        shutil.copyfile(source, unfinished)


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there; a kill leaves nothing under its name."""
    going = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
    shutil.rmtree(going, ignore_errors=True)
    if folder.exists():
        folder.rename(going)
        shutil.rmtree(going)


@contextlib.contextmanager
def being_filled(folder: Path):
    """An empty folder beside another, whose place it takes when it is filled.

    A kill leaves the old folder or the new one; between two renames, for an instant, neither.
    """
    new = folder.with_name(f"{UNFINISHED}{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        going = folder.with_name(f"{UNFINISHED}removal-{folder.name}")
        shutil.rmtree(going, ignore_errors=True)
        if folder.exists():
            folder.rename(going)
        new.rename(folder)
        shutil.rmtree(going, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing or removing in a folder and below."""
    for left in sorted(folder.rglob(f"{UNFINISHED}*")):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Take the room on the disk for all of a file, or raise :class:`DiskFullError`.

    A file that is mapped into memory is full of holes at first, and a disk that is full when
    they are filled ends the process without a word.
    """
    n_bytes = path.stat().st_size
    try:
        with open(path, "r+b") as file:
            if hasattr(os, "posix_fallocate") and n_bytes:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return  # a file system that cannot reserve
        path.unlink(missing_ok=True)
        raise DiskFullError(
            f"No room on the disk for {n_bytes / 1e6:.0f} MB of {config.shown(path)}. Free some, "
            "or move everything that runs write (TUMORCF_RUNS=<folder>), and run the same again."
        ) from None


# -- one writer at a time ----------------------------------------------------


def hold(path: Path, *, wait_s=0.0) -> None:
    """Hold a lock file until :func:`release` or this process's end, however it ends.

    Holding what this process holds changes nothing; where the file system knows no locks,
    nothing is held. :class:`InUseError` if another process still holds it after ``wait_s``.
    """
    path = Path(path).absolute()
    if fcntl is None or path in _held:
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.1)
                continue
            holder = os.pread(file, 20, 0)
            os.close(file)
            raise InUseError(path, int(holder) if holder.strip().isdigit() else 0) from None
        except OSError:  # no locks on this file system
            os.close(file)
            return
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        _held[path] = file
        return


def release(path: Path) -> None:
    """Let go of a lock file; nothing happens if this process does not hold it."""
    file = _held.pop(Path(path).absolute(), None)
    if file is not None:
        os.close(file)


@contextlib.contextmanager
def held(path: Path, *, wait_s=0.0):
    """Hold a lock file in a context, one context at a time, in this process, too; yields whether.

    The file stays: to remove it would let two processes lock two files of one name.
    """
    path = Path(path).absolute()
    if path in _held:
        raise InUseError(path, os.getpid())
    hold(path, wait_s=wait_s)
    try:
        yield path in _held
    finally:
        release(path)


# -- what a result depends on ------------------------------------------------

UNHASHED = {
    "config", "publish.publish", "publish.readme", "steps", "study.notebooks", "study.progress",
    "study.results", "study.runtime", "study.stages",
}  # fmt: skip
"""Modules that move files about; of ``config`` the profile's values count, not its text."""


def code_digest(name: str) -> str:
    """Hash of a notebook's code cells and of every library module they lead to."""
    return _digest_from(ast.parse("\n".join(code_cells(config.NOTEBOOKS / f"{name}.ipynb"))))


def library_digest(*modules: str) -> str:
    """Hash of the named modules' code and of every library module they lead to.

    Modules are named from the library on, such as ``"data.cohort"``.
    """
    return _digest_from(ast.parse("\n".join(f"import tumorcf_lib.{m}" for m in sorted(modules))))


def code_cells(notebook) -> list[str]:
    """Sources of a notebook file's code cells but the setup and injected ones."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    passed_over = {"setup", "injected-parameters"}
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not passed_over & set(cell["metadata"].get("tags", []))
    ]


def module_digest(*modules: str) -> str:
    """Hash of the named modules' code, for work that is kept across notebooks."""
    dumps = (_parsed(*_library_source(module))[0] for module in sorted(modules))
    return sha256("".join(dumps).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- inner parts -------------------------------------------------------------


def _digest_from(tree) -> str:
    """Hash of a syntax tree, of all library modules that it leads to, and of data these read."""
    leads_to, dumps, seen = [_library_imports(tree)], [ast.dump(tree)], set(UNHASHED)
    while leads_to:
        for module in sorted(leads_to.pop() - seen):
            seen.add(module)
            source, package = _library_source(module)
            dump, imports = _parsed(source, package)
            leads_to.append(imports)
            dumps.append(dump)
            dumps += [file_sha256(path) for path in _library_data() if path.name in source]
    return sha256("\n".join(sorted(dumps)).encode())


def _library_imports(tree, package="") -> set[str]:
    """Library modules that code of a package (or a notebook) imports, such as "data.cohort"."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            own = ["tumorcf_lib", *filter(None, package.split("."))]
            above = own[:len(own) + 1 - node.level] if node.level else []
            start = ".".join([*above, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {_module_of(name) for name in names if name.startswith("tumorcf_lib.")}
    return found - {""}


def _module_of(name: str) -> str:
    """The library module, or package, that an imported name is or lies in; "" if none."""
    parts = name.split(".")[1:]
    while parts:
        path = _library_path(".".join(parts))
        if path.is_dir() or path.with_suffix(".py").is_file():
            return ".".join(parts)
        parts.pop()
    return ""


def _library_path(module: str) -> Path:
    return config.ROOT.joinpath("tumorcf_lib", *module.split("."))


def _library_source(module: str) -> tuple[str, str]:
    """Text of a library module, or of all of a package's modules, and its package."""
    folder = _library_path(module)
    if folder.is_dir():
        texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
        return "\n".join(texts), module
    return folder.with_suffix(".py").read_text(encoding="utf-8"), module.rpartition(".")[0]


def _library_data() -> list[Path]:
    """Files beside the library's modules that modules read, by the name they call them."""
    return sorted((config.ROOT / "tumorcf_lib").rglob("*.csv"))


@functools.cache
def _parsed(source: str, package: str) -> tuple[str, frozenset[str]]:
    """A module's syntax tree without docstrings, as text, and the library modules it imports."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree), frozenset(_library_imports(tree, package))


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
    mark = sha256(json.dumps(depends_on, sort_keys=True, default=str).encode())[:10]
    folder = parent / f"{name}-{mark}"
    for old in parent.glob(f"{name}-??????????"):
        if old != folder:
            remove_whole(old)
    changed = changed_file(folder)
    if changed:
        print(f"{config.shown(folder / changed)} is not as it was made: made again.", flush=True)
    if changed or fresh:
        remove_whole(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget_checkpoints(folder: Path) -> None:
    """Remove the states of trainings in a folder and below, when their results are stored."""
    for path in folder.rglob(CHECKPOINT):
        path.unlink()


def seal(folder: Path) -> None:
    """Remember the hash of every file, when the work is finished."""
    forget_checkpoints(folder)
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL]
    hashes = {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}
    write_whole(folder / SEAL, json.dumps(hashes, indent=1) + "\n")


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
        if not path.is_file() or file_sha256(path) != digest:
            return name
    return None


def note_seconds(folder: Path, seconds: float) -> None:
    """Remember how long a workspace's content took, for a run that only reads it again."""
    write_whole(folder / SECONDS, f"{seconds:.1f}\n")


def kept_seconds(folder: Path) -> float:
    """Seconds that the workspaces of a stage's folder took when they were made."""
    found = folder.glob(f"*/{SECONDS}")
    texts = [path.read_text(encoding="utf-8", errors="replace").strip() for path in found]
    return sum(float(text) for text in texts if text.replace(".", "", 1).isdecimal())
