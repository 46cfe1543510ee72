"""Kernels of other notebooks that are still open, where memory is short (Binder gives 2 GB)."""

import os
import sys
from pathlib import Path

PROCESSES = Path("/proc")
SHORT_BYTES = 3_000_000_000
HELD_BYTES = 300_000_000
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)  # fmt: skip


def memory_limit() -> float:
    """Bytes that all programs here may use together; infinity where nobody limits them.

    JupyterHub (Binder) says it in ``MEM_LIMIT``, containers by their control group.
    """
    words = [os.environ.get("MEM_LIMIT", "")]
    words += [path.read_text().strip() for path in CGROUP_LIMITS if path.is_file()]
    limits = [float(word) for word in words if word.replace(".", "", 1).isdigit()]
    return min(limits, default=float("inf"))


def held_by_others() -> int:
    """Bytes held by other Jupyter kernels; 0 where the system (not Linux) does not list them."""
    held = 0
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            is_kernel = b"ipykernel" in (folder / "cmdline").read_bytes()
            if is_kernel and int(folder.name) != os.getpid():
                pages = int((folder / "statm").read_text().split()[1])  # resident
                held += pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return held


def warn_if_tight(this="this one", again="run this notebook again") -> None:
    """Tell a reader to shut other notebooks' kernels down, if memory is short and they hold much.

    Where memory runs out, the kernel that asks last dies without a word. The message goes to the
    error channel, which published notebooks leave out.

    Parameters
    ----------
    this, again : str
        What needs the memory, and what to do when it is free.
    """
    limit = memory_limit()
    if limit > SHORT_BYTES:
        return
    held = held_by_others()
    if held > HELD_BYTES:
        print(
            f"Other notebooks' kernels hold {held / 1e9:.1f} GB of the {limit / 1e9:.1f} GB of "
            f"memory here, and {this} needs most of it. Shut them down first (menu Kernel > Shut "
            f"Down All Kernels, then {again}): what they saved is kept.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
