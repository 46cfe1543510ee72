"""What the numbers were measured on, without the names of machine, user or folders."""

import os
import platform

from tumorcf_lib import pins
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
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    described |= {name: pins.version_of(name) for name in PACKAGES}
    described |= {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ}
    return described
