"""Command line: ``python -m tumorcf_lib --help``, and all options of ``run_all.sh``."""

import argparse
import atexit
import errno
import inspect
import os
import shlex
import shutil
import sys
import tempfile

from tumorcf_lib import commands, config

STOPPED = """
Stopped. Nothing that was finished is lost; the same command goes on from there:
    {command}"""
STOPPED_SHORT = "\nStopped. This command keeps nothing unfinished; run it again:\n    {command}"
FULL = """The disk is full. Free some room, or let runs write elsewhere (TUMORCF_RUNS=<folder>).
Nothing that was finished is lost; then the same command goes on: {command}"""
CLOSED = """Runs write to {place}. If you may not, name another folder: TUMORCF_RUNS=<folder>"""
LACKING = """This Python ({python}) lacks the package {name}. In the repository's folder, type
source .venv/bin/activate, then the same command again. ./run_all.sh --setup makes .venv."""
NO_REPOSITORY = """This command needs the repository, not only the installed package: git clone
it and run the command there. `python -m tumorcf_lib audit` works anywhere."""
MODES = ("report", "lab", "test", "test-all", "setup")
GOES_ON = "run download calibrate prepare train masks controls leak scratch audit".split()
ANYWHERE = ("audit", "compare", "manifest")


def main(arguments=None) -> int:
    """Parse the command line, do what it asks, return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for name in filter(os.environ.get, ("TUMORCF_DATA", "TUMORCF_RUNS")):
        os.environ[name] = os.path.abspath(commands.folder(os.environ[name]))
    if os.path.expanduser("~") == "~":  # neither HOME nor a user of that number, as in containers
        os.environ["HOME"] = tempfile.mkdtemp(prefix="tumorcf-home-")  # kernels inherit it
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
    mode, words = None, arguments
    if arguments[:1] == ["run_all"]:  # run_all.sh: a run, unless --lab or the like is given
        mode = next((mode for mode in MODES if f"--{mode}" in arguments), "run")
        words = [word for word in arguments[1:] if word != f"--{mode}"]
    options = _parser(mode).parse_args(words)
    if os.environ.pop("TUMORCF_CHECK", ""):  # are the options right? Before anything is installed
        return 0
    os.environ.pop("TUMORCF_FROM", None)
    if getattr(options, "data", None):
        os.environ["TUMORCF_DATA"] = os.path.abspath(options.data)
    if getattr(options, "partial", False):
        os.environ["TUMORCF_PARTIAL"] = "1"
    typed = os.environ.get("TUMORCF_COMMAND", "").strip()
    again = typed or f"python -m tumorcf_lib {shlex.join(arguments)}"
    try:
        if options.command not in ANYWHERE and not config.NOTEBOOKS.is_dir():
            return print(NO_REPOSITORY, file=sys.stderr) or 1
        done = options.action(options)
        return done if isinstance(done, int) else 0
    except KeyboardInterrupt:
        print((STOPPED if options.command in GOES_ON else STOPPED_SHORT).format(command=again))
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "tumorcf_lib").startswith("tumorcf_lib"):
            raise
        print(LACKING.format(python=sys.executable, name=error.name), file=sys.stderr)
        return 1
    except Exception as error:  # the project's own errors are written for people
        if not (isinstance(error, OSError) or type(error).__module__.startswith("tumorcf_lib")):
            raise
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        helps = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EACCES: CLOSED, errno.EROFS: CLOSED}
        if words := helps.get(getattr(error, "errno", None)):
            print(words.format(command=again, place=config.shown(config.runs())), file=sys.stderr)
        return 1


def _parser(mode=None):
    """The parser of all commands, or of run_all.sh in a mode."""
    parser = argparse.ArgumentParser(
        prog="python -m tumorcf_lib",
        epilog="Options of a command: COMMAND --help",
        description="Does a brain-tumor classifier look at the tumor? Run, publish and check.",
    )
    parsers = parser.add_subparsers(required=True, metavar="command", dest="command")
    does = {name: inspect.getdoc(function) for name, (function, _) in commands.COMMANDS.items()}
    modes = "\n".join(["instead of a run", *(f"  --{each:<10} {does[each]}" for each in MODES)])
    given = {word: os.environ.get(f"TUMORCF_{word.upper()}") for word in ("profile", "seed")}
    for name, (function, options) in commands.COMMANDS.items():
        start = f"./run_all.sh --{name}" if mode else f"python -m tumorcf_lib {name}"
        own = parsers.add_parser(
            name,
            help=does[name].splitlines()[0],
            prog=start.removesuffix(" --run"),
            description=does[name],
            epilog=modes if mode and name == "run" else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for names, settings in options:
            own.add_argument(*names, **settings)
        own.set_defaults(action=function, command=name)
        own.set_defaults(**{word: value for word, value in given.items() if value})
    if mode:
        return parsers.choices[mode]
    commands.lib("your_model.audit").add_parser(parsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
