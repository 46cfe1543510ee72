"""What the numbers were measured on, without the names of machine, user or folders."""

import importlib.metadata
import os
import platform

from tumorcf_lib.study import runtime

PACKAGES = (
    "h5py",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "scipy",
    "tensorflow",
)
THREAD_SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def describe():
    """Processor, cores, memory, system, versions and thread settings, {what: text}."""
    described = {
        "processor": runtime.processor(),
        "cores": str(runtime.n_cores()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    described |= {name: _version(name) for name in PACKAGES}
    described |= {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}
    return described


def _memory():
    try:
        n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on this system
        return "unknown"
    return f"{n_bytes / 2**30:.0f} GiB"


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
