#!/usr/bin/env bash
# Reproduce the study: set up an environment, run the six notebooks, or run the tests.
set -euo pipefail
unset CDPATH  # with it, cd may go elsewhere
TUMORCF_COMMAND=$(printf '%q ' "$0" "$@")  # told again to who interrupts it
export TUMORCF_COMMAND

# Folders may be named relative to where the command was given, so they are resolved first.
absolute() { case "$1" in '~'|'~/'*) echo "$HOME${1#\~}" ;; /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
for name in TUMORCF_DATA TUMORCF_RUNS; do
  if [ -n "${!name:-}" ]; then export "$name=$(absolute "${!name}")"; fi
done
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./run_all.sh [options]

Sets up .venv from the exact pins in requirements.txt (an active environment that
already satisfies them is used instead) and runs the notebooks 01 to 06 in order.
Everything is written to runs/<profile>/; what is up to date is skipped.
If .venv is damaged, remove that folder: it is made anew.

  --profile NAME   smoke, demo, paper-lite, paper; default: chosen for this machine
                     (the real slices if they are found, otherwise the phantom);
                     calibration: networks whose answer is known, without notebooks;
                     paper-lite-cv: every fold of the real slices, without notebooks
  --data DIR       folder of the dataset (default: $TUMORCF_DATA, else data/)
  --from 04        begin at this notebook        --to 05   end at this notebook
  --fresh          redo what is up to date, too
  --reference      take the published weights instead of training in 03 (so does --from 04
                     where 03 was never run)
  --seed N         seed of training and of sham places (default 0)
  --report         one HTML page of a finished run's notebooks, for people without Python
  --lab            open the notebooks in JupyterLab
  --test           unit tests, doctests, all notebooks in the smoke profile, and one of
                     them in a browser if Chromium is there
  --setup          only set up the environment
  --help           this text

examples
  ./run_all.sh                                   the default for this machine
  ./run_all.sh --profile paper-lite --data ~/figshare
  ./run_all.sh --profile demo --from 05          again from the counterfactuals on
  ./run_all.sh --report --profile demo           runs/demo/report.html, after a run of demo
  ./run_all.sh --lab --profile demo              every notebook opened there runs the demo
TEXT
}

mode=run
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --test|--setup|--report|--lab) mode=${1#--}; shift ;;
    --fresh|--reference) arguments+=("$1"); shift ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --profile|--data|--from|--to|--seed)
      [ $# -ge 2 ] || { echo "run_all.sh: $1 needs a value; see ./run_all.sh --help" >&2; exit 2; }
      value=$2
      if [ "$1" = --data ]; then value=$(cd "$here" && absolute "$2"); fi
      arguments+=("$1" "$value"); shift 2 ;;
    *) echo "run_all.sh: there is no option $1; see ./run_all.sh --help" >&2; exit 2 ;;
  esac
done

satisfies_pins() { "$1" tumorcf_lib/pins.py requirements.txt >/dev/null 2>&1; }

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3 python; do
    if command -v "$candidate" >/dev/null && fits "$candidate"; then echo "$candidate"; return; fi
  done
  echo "run_all.sh: Python 3.11, 3.12 or 3.13 is needed; install one, or uv (which brings its own)." >&2
  return 1
}

install_by_uv() {
  if ! fits "$python"; then
    rm -rf .venv && uv venv ${quiet:+--quiet} --python '>=3.11,<3.14' .venv || return
  fi
  uv pip install ${quiet:+--quiet} --python "$python" -r requirements.txt &&
    uv pip install ${quiet:+--quiet} --python "$python" --no-deps --no-build-isolation -e .
}

install_by_pip() {
  if ! fits "$python" || ! "$python" -m pip --version >/dev/null 2>&1; then
    "$1" -m venv --clear .venv || return
  fi
  "$python" -m pip install ${quiet:+-qq} --disable-pip-version-check -r requirements.txt &&
    "$python" -m pip install ${quiet:+-qq} --disable-pip-version-check --no-deps \
      --no-build-isolation -e .
}

not_set_up() {
  echo "run_all.sh: the environment could not be set up; the reason stands above. This first step" \
    "needs a package index (a network) and 3 GB of disk. What was fetched is kept: when that is" \
    "mended, give the same command again." >&2
  exit 1
}

set_up() {  # prints nothing unless it has work to do; leaves the interpreter's path in $python
  if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && command -v python >/dev/null && satisfies_pins python; then
    python=$(command -v python)
    return
  fi
  python=$PWD/.venv/bin/python
  if [ -x "$python" ] && satisfies_pins "$python" && "$python" -I -c 'import tumorcf_lib' 2>/dev/null; then return; fi
  local started=$SECONDS base quiet=yes
  if [ -t 2 ]; then quiet=; fi  # in a terminal, the installer shows how far it is
  echo "Setting up .venv from requirements.txt (about 3 GB on disk; minutes, once) ..."
  trap 'echo; echo "Stopped. What was fetched is kept; to go on: $TUMORCF_COMMAND"; exit 130' INT
  if command -v uv >/dev/null; then
    install_by_uv || not_set_up
  else
    base=$(find_python)
    install_by_pip "$base" || not_set_up
  fi
  trap - INT
  echo "Environment ready after $((SECONDS - started)) s."
}

take_settings() {  # $1: options that this mode takes; they reach notebooks and tests by environment
  local known=$1
  shift
  while [ $# -gt 0 ]; do
    case " $known " in
      *" $1 "*) ;;
      *) echo "run_all.sh: $1 says nothing to --$mode; see ./run_all.sh --help" >&2; exit 2 ;;
    esac
    case "$1" in
      --profile) export TUMORCF_PROFILE=$2 ;;
      --data) export TUMORCF_DATA=$2 ;;
      --seed) export TUMORCF_SEED=$2 ;;
    esac
    shift 2
  done
}

open_in_lab() {
  if [ -n "${TUMORCF_PROFILE:-}" ]; then  # a wrong name is told here, not in a notebook
    "$python" -m tumorcf_lib status >/dev/null
  fi
  unset TUMORCF_COMMAND  # what is run from there was not called by this script
  export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}"  # saves TensorFlow's kernels memory on Linux
  echo "JupyterLab opens in your browser; if it does not, open the address that it prints below."
  echo "Run the notebooks in order (menu Run > Run All Cells). Ctrl+C here ends JupyterLab."
  exec "$python" -m jupyterlab --ServerApp.root_dir="$PWD" notebooks/01_data.ipynb
}

case "$mode" in
  lab) take_settings "--profile --data --seed" ${arguments[@]+"${arguments[@]}"} ;;
  test) take_settings "--data" ${arguments[@]+"${arguments[@]}"} ;;
  setup) take_settings "" ${arguments[@]+"${arguments[@]}"} ;;
esac
set_up
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
case "$mode" in
  setup) echo "Python of this project: $python" ;;
  run|report) exec "$python" -m tumorcf_lib "$mode" ${arguments[@]+"${arguments[@]}"} ;;
  lab) open_in_lab ;;
  test)
    unset TUMORCF_COMMAND  # what tests run was not called by this script
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    export TUMORCF_RUNS="$scratch/runs" TUMORCF_PROFILE=smoke
    echo "== unit tests and doctests"
    "$python" -m pytest -q -rs --durations=5 -n 2 --dist loadfile --ignore tests/test_browser.py \
      tests tumorcf_lib
    echo "== the notebooks, smoke profile, by nbval"
    "$python" -m pytest -q -p no:cacheprovider --nbval-lax --nbval-cell-timeout=300 notebooks
    echo "== notebook 06 in JupyterLab, in a browser"
    "$python" -m pytest -q -rs -p no:cacheprovider tests/test_browser.py
    ;;
esac
