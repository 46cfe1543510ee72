import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tumorcf_lib import config, steps

HOLD = """
import sys, time
from tumorcf_lib import steps
steps.hold(steps.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


# -- files --------------------------------------------------------------------


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path, write = tmp_path / "numbers.json", Path.write_bytes
    steps.write_whole(path, "{}")

    def half_then_killed(self, data):
        write(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half_then_killed)
    with pytest.raises(KeyboardInterrupt):
        steps.write_whole(path, '{"a": 1}')
    assert path.read_text() == "{}"


def test_leftovers_are_cleared_at_any_depth_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("rows.csv", "unfinished-rows.csv", "deep/unfinished-checkpoint.npz", "deep/kept"):
        (tmp_path / name).write_text("")
    (tmp_path / "unfinished-removal-x" / "y").mkdir(parents=True)
    steps.clear_unfinished(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["deep", "deep/kept", "rows.csv"]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "demo"
    for text in ("old", "new"):
        with steps.being_filled(folder) as new:
            (new / text).write_text(text)
    assert [p.name for p in folder.iterdir()] == ["new"]
    with pytest.raises(KeyboardInterrupt):
        with steps.being_filled(folder) as new:
            (new / "half").write_text("")
            raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    assert [p.name for p in folder.iterdir()] == ["new"]


@pytest.mark.parametrize(("n_renames", "there"), [(0, ["old"]), (1, None), (2, ["new"])])
def test_a_kill_while_a_folder_is_replaced_leaves_no_mixture_and_the_next_time_clears_up(
    tmp_path, monkeypatch, n_renames, there
):
    folder, rename, left = tmp_path / "demo", Path.rename, list(range(n_renames))

    def killed_after_some(self, target):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return rename(self, target)

    with steps.being_filled(folder) as new:
        (new / "old").write_text("")
    monkeypatch.setattr(Path, "rename", killed_after_some)
    monkeypatch.setattr(steps.shutil, "rmtree", lambda *_, **__: None)  # the dead clear nothing up
    with contextlib.suppress(KeyboardInterrupt), steps.being_filled(folder) as new:
        (new / "new").write_text("")
    monkeypatch.undo()
    assert (sorted(p.name for p in folder.iterdir()) if folder.exists() else None) == there
    with steps.being_filled(folder) as new:
        (new / "again").write_text("")
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    assert [p.name for p in folder.iterdir()] == ["again"]


def test_a_kill_while_a_folder_is_removed_leaves_nothing_under_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "fold0"
    (folder / "deep").mkdir(parents=True)

    def killed(path, **_):
        if Path(path).exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(steps.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        steps.remove_whole(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["unfinished-removal-fold0"]


# -- locks -------------------------------------------------------------------


@pytest.fixture
def other(tmp_path):
    """Another process that holds a lock file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=config.ROOT,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_held_file_is_refused_by_the_number_of_its_holder_until_that_is_killed(other, tmp_path):
    with pytest.raises(steps.InUseError) as error:
        steps.hold(tmp_path / "lock")
    assert error.value.holder == other.pid
    other.kill()
    steps.hold(tmp_path / "lock", wait_s=10)
    assert (tmp_path / "lock").read_text() == f"{steps.os.getpid()}\n"
    steps.release(tmp_path / "lock")


def test_a_file_system_without_locks_holds_nothing_and_stops_nobody(tmp_path, monkeypatch):
    def refused(file, how):
        raise OSError("no locks available")

    monkeypatch.setattr(steps.fcntl, "flock", refused)
    steps.hold(tmp_path / "lock")
    assert not steps._held.get(tmp_path / "lock")


def test_a_context_is_refused_while_another_process_holds_the_file(other, tmp_path):
    with pytest.raises(steps.InUseError, match=str(other.pid)):
        with steps.held(tmp_path / "lock"):
            pass
    other.kill()
    with steps.held(tmp_path / "lock", wait_s=30.0) as is_held:
        assert is_held


# -- kept results ------------------------------------------------------------


def open_one(parent, depends_on=3, **options):
    return steps.begin(parent / "fold0", {"epochs": depends_on}, **options)


def is_empty(folder):
    return [path.name for path in folder.iterdir()] == [steps.RECORD]


@pytest.fixture
def done(tmp_path):
    """A sealed workspace of two files."""
    folder = open_one(tmp_path)
    (folder / "deep").mkdir()
    (folder / "weights").write_text("1 2 3")
    (folder / "deep" / "history").write_text("4 5 6")
    steps.seal(folder)
    return folder


def test_a_workspace_is_kept_while_its_dependencies_hold_and_replaced_otherwise(tmp_path, done):
    assert open_one(tmp_path) == done
    assert (done / "weights").read_text() == "1 2 3"
    other = open_one(tmp_path, depends_on=4)
    assert [path.name for path in other.iterdir()] == [steps.RECORD]
    assert [path.name for path in tmp_path.iterdir()] == ["fold0"]


@pytest.mark.parametrize("name", ["weights", "deep/history", steps.RECORD])
def test_what_was_changed_after_the_seal_is_said_and_made_again(tmp_path, done, capsys, name):
    (done / name).write_text("7 8 9")
    assert is_empty(open_one(tmp_path))
    assert f"{name} is not as it was made: made again." in capsys.readouterr().out


def test_what_changed_is_said_in_words(tmp_path):
    folder = steps.begin(tmp_path / "x", {"seed": 1, "code": "a"})
    assert steps.why_stale(folder, {"seed": 1, "code": "a"}) == steps.INTERRUPTED
    assert steps.why_stale(folder, {"seed": 1, "code": "b"}) == "code changed since"
    assert steps.why_stale(folder, {"seed": 1, "code": "a", "new": 0}) == "new changed since"
    assert steps.why_stale(folder, {"seed": 1}) == "code changed since"
    steps.seal(folder)
    assert steps.why_stale(folder, {"seed": 1, "code": "a"}) is None
    assert steps.why_stale(tmp_path / "y", {}) == "it was never begun"


def test_a_seal_leaves_no_state_of_a_training_that_a_kill_left(tmp_path):
    folder = open_one(tmp_path)
    (folder / "fold0").mkdir()
    for name in ("weights", steps.CHECKPOINT, f"fold0/{steps.CHECKPOINT}"):
        (folder / name).write_text("1 2 3")
    steps.seal(folder)
    assert {p.name for p in folder.iterdir()} == {"weights", "fold0", steps.RECORD}
    assert not list((folder / "fold0").iterdir())
    assert steps.changed_file(folder) is None
