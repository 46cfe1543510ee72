"""Kernels and memory, where it is short (Binder gives 2 GB): what others hold, how to need less."""

import ctypes
import os
import sys
from pathlib import Path

PROCESSES = Path("/proc")
SHORT_BYTES = 3_000_000_000
HELD_BYTES = 300_000_000
ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)  # fmt: skip


def share_one_heap() -> bool:
    """Let all threads of this process take memory from one heap, as MALLOC_ARENA_MAX=1 does.

    TensorFlow starts as many threads as there are cores, and on Linux each keeps freed memory in
    a heap of its own: 0.13 GB on two cores, more on the machines behind Binder, where nobody sets
    that variable. It changes no result.

    Returns
    -------
    bool
        False where the system's library knows no such setting (not glibc).
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(ARENA_MAX, 1))
    except (AttributeError, OSError, TypeError):
        return False


def memory_limit() -> float:
    """Bytes that all programs here may use together; infinity where nobody limits them.

    JupyterHub (Binder) says it in ``MEM_LIMIT``, containers by their control group.
    """
    words = [os.environ.get("MEM_LIMIT", "")]
    words += [path.read_text(encoding="utf-8").strip() for path in CGROUP_LIMITS if path.is_file()]
    limits = [float(word) for word in words if word.replace(".", "", 1).isdigit()]
    return min(limits, default=float("inf"))


def is_short() -> bool:
    """Whether memory is limited so much that one kernel at a time is all that fits."""
    return memory_limit() <= SHORT_BYTES


def held_by_others() -> int:
    """Bytes held by other Jupyter kernels; 0 where the system (not Linux) does not list them."""
    held = 0
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            is_kernel = b"ipykernel" in (folder / "cmdline").read_bytes()
            if is_kernel and int(folder.name) != os.getpid():
                pages = int((folder / "statm").read_text(encoding="utf-8").split()[1])  # resident
                held += pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return held


def warn_if_tight(this="this notebook", again="run this notebook again") -> None:
    """Tell a reader to shut other notebooks' kernels down, if memory is short and they hold much.

    Where memory runs out, the kernel that asks last dies without a word. The message goes to the
    error channel, which published notebooks leave out.

    Parameters
    ----------
    this, again : str
        What needs the memory, and what to do when it is free.
    """
    held = held_by_others() if is_short() else 0
    if held > HELD_BYTES:
        print(
            f"Kernels of open notebooks hold {held / 1e9:.1f} GB of the {memory_limit() / 1e9:.1f} "
            f"GB of memory here, and {this} needs most of it. Shut them down first (menu Kernel > "
            f"Shut Down All Kernels, then {again}): what they saved is kept.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
