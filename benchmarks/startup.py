"""How long a process takes until it is of use, against a bare interpreter."""

import os
import subprocess
import sys
import tempfile

from benchmarks.measure import compare

COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import tumorcf_lib": ["-c", "import tumorcf_lib"],
    "tumorcf_lib --help": ["-m", "tumorcf_lib", "--help"],
    "tumorcf_lib status": ["-m", "tumorcf_lib", "status", "--profile", "demo"],
    "tumorcf_lib verify figures/demo": ["-m", "tumorcf_lib", "verify", "figures/demo"],
    "for comparison: import keras": ["-c", "import keras"],
}
TINY = ("bare interpreter", "import tumorcf_lib")


def run(size, repeats):
    """Rows: each command as a whole process, from its start to its end."""
    names = COMMANDS if size == "full" else TINY
    with tempfile.TemporaryDirectory() as runs:
        environment = os.environ | {"TUMORCF_RUNS": runs}
        cases = {
            name: lambda name=name: subprocess.run(
                [sys.executable, *COMMANDS[name]], env=environment, check=True, capture_output=True
            )
            for name in names
        }
        return compare("start-up", "", cases, n=1, unit="starts", repeats=repeats)
