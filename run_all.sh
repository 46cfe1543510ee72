#!/usr/bin/env bash
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # called as `sh run_all.sh`
# Finds or sets up the environment, and forwards; ./run_all.sh --help has the options.
set -euo pipefail
unset CDPATH  # with it, cd may go elsewhere
TUMORCF_COMMAND=$(printf '%q ' "$0" "$@") TUMORCF_FROM=$PWD
script=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || echo "${BASH_SOURCE[0]}")  # it may be a link
cd "$(dirname "$script")"
fail() { echo "run_all.sh: $*" >&2; exit 1; }
[ -f requirements.txt ] || fail "its folder lacks requirements.txt; call it in a checkout of the repository."
export TUMORCF_COMMAND TUMORCF_FROM TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

lock=requirements.txt
for word in "$@"; do case "$word" in --test|--test-all) lock=requirements-dev.txt ;; esac; done

has_pins() { "$1" tumorcf_lib/pins.py "$lock" >/dev/null 2>&1; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }
forward() { exec "$1" -m tumorcf_lib run_all "${@:2}"; }

active=${VIRTUAL_ENV:-}${CONDA_PREFIX:-} python=$PWD/.venv/bin/python
if [ -n "$active" ] && command -v python >/dev/null && has_pins python; then forward python "$@"; fi
if has_pins "$python" && "$python" -I -c 'import tumorcf_lib' 2>/dev/null; then forward "$python" "$@"; fi

base=
for candidate in python3.12 python3.13 python3.11 python3 python; do
  if command -v "$candidate" >/dev/null && fits "$candidate"; then base=$candidate; break; fi
done
if [ -n "$base" ]; then  # wrong options, and --help, before anything is installed
  TUMORCF_CHECK=yes "$base" -m tumorcf_lib run_all "$@" || exit $?
  for word in "$@"; do case "$word" in -h|--help) exit 0 ;; esac; done
else
  command -v uv >/dev/null || fail "Python 3.11, 3.12 or 3.13 is needed; install one, or uv (which brings its own)."
fi

quiet=q
if [ -t 2 ]; then quiet=; fi  # in a terminal, the installer shows how far it is
install() {
  if command -v uv >/dev/null; then
    fits "$python" || { rm -rf .venv && { uv venv ${quiet:+-q} --python 3.12 .venv ||
      uv venv ${quiet:+-q} --python '>=3.11,<3.14' .venv; }; } || return
    set -- uv pip install ${quiet:+-q} --python "$python"
  else
    "$python" -m pip --version >/dev/null 2>&1 && fits "$python" || "$base" -m venv --clear .venv || return
    set -- "$python" -m pip install ${quiet:+-qq} --disable-pip-version-check
  fi
  # Without a GPU, the same TensorFlow without the code for one: half of all that is fetched
  if [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null &&
    ! compgen -G '.venv/lib/python3*/site-packages/tensorflow-2*' >/dev/null; then
    sed 's/^tensorflow==/tensorflow-cpu==/' "$lock" >.venv/requirements.txt && lock=.venv/requirements.txt
  fi
  "$@" --no-deps -r "$lock" && "$@" --no-deps --no-build-isolation -e .  # the lock is all of it
}
echo "Setting up .venv from $lock (about 2 GB on disk, 3 with a GPU; minutes, once) ..."
trap 'echo; echo "Stopped. What was fetched is kept; to go on: $TUMORCF_COMMAND"; exit 130' INT
install || fail "the environment could not be set up; the reason is above. This first step needs" \
  "a package index (a network) and 3 GB of disk. What was fetched is kept: give the same command again."
trap - INT
echo "Environment ready after $SECONDS s."
forward "$python" "$@"
