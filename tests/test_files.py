import contextlib
import errno
from pathlib import Path

import pytest

from tumorcf_lib import files


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path, write = tmp_path / "numbers.json", Path.write_bytes
    files.write_whole(path, "{}")

    def half_then_killed(self, data):
        write(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half_then_killed)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(path, '{"a": 1}')
    assert path.read_text() == "{}"


def test_a_copy_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("whole")

    def half_then_killed(source, target):
        Path(target).write_text("wh")
        raise KeyboardInterrupt

    files.copy_whole(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "whole"
    monkeypatch.setattr(files.shutil, "copyfile", half_then_killed)
    with pytest.raises(KeyboardInterrupt):
        files.copy_whole(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_leftovers_are_cleared_at_any_depth_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("rows.csv", "unfinished-rows.csv", "deep/unfinished-checkpoint.npz", "deep/kept"):
        (tmp_path / name).write_text("")
    (tmp_path / "unfinished-removal-x" / "y").mkdir(parents=True)
    files.clear_unfinished(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["deep", "deep/kept", "rows.csv"]


def test_room_is_taken_for_a_file_with_holes(tmp_path):
    path = tmp_path / "array.npy"
    with open(path, "wb") as file:
        file.truncate(1_000_000)
    before = path.stat().st_blocks
    files.reserve(path)
    assert path.stat().st_size == 1_000_000
    assert path.stat().st_blocks * 512 >= 1_000_000 > before * 512


def test_a_full_disk_is_named_with_the_megabytes_and_leaves_no_file(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "inputs.npy"
    path.write_bytes(bytes(2_000_000))
    monkeypatch.setattr(files.os, "posix_fallocate", full, raising=False)
    with pytest.raises(files.DiskFullError, match="No room on the disk for 2 MB of .*inputs.npy"):
        files.reserve(path)
    assert not path.exists()


def test_a_file_system_that_cannot_reserve_stops_nobody(tmp_path, monkeypatch):
    def unsupported(*arguments):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    path = tmp_path / "inputs.npy"
    path.write_bytes(b"12")
    monkeypatch.setattr(files.os, "posix_fallocate", unsupported, raising=False)
    files.reserve(path)
    assert path.read_bytes() == b"12"


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, synced, sync = tmp_path / "numbers.json", [], files.os.fsync

    def noticed(file):
        synced.append((Path(f"/proc/self/fd/{file}").resolve().name, path.exists()))
        sync(file)

    monkeypatch.setattr(files.os, "fsync", noticed)
    files.write_whole(path, "{}")
    assert synced == [("unfinished-numbers.json", False)]


def test_an_error_leaves_no_half_of_a_file_to_fill_the_disk_and_an_older_one_as_it_was(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_text("older")
    with pytest.raises(OSError, match="full"):
        with files.being_written(path) as unfinished:
            unfinished.write_text("hal")
            raise OSError("full")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("weights.npz", "older")]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "demo"
    for text in ("old", "new"):
        with files.being_filled(folder) as new:
            (new / text).write_text(text)
    assert [p.name for p in folder.iterdir()] == ["new"]
    with pytest.raises(KeyboardInterrupt):
        with files.being_filled(folder) as new:
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

    with files.being_filled(folder) as new:
        (new / "old").write_text("")
    monkeypatch.setattr(Path, "rename", killed_after_some)
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # the dead clear nothing up
    with contextlib.suppress(KeyboardInterrupt), files.being_filled(folder) as new:
        (new / "new").write_text("")
    monkeypatch.undo()
    assert (sorted(p.name for p in folder.iterdir()) if folder.exists() else None) == there
    with files.being_filled(folder) as new:
        (new / "again").write_text("")
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    assert [p.name for p in folder.iterdir()] == ["again"]


def test_a_folder_is_removed_as_a_whole_even_if_a_kill_left_half_of_an_earlier_one(tmp_path):
    folder = tmp_path / "fold0"
    files.remove_whole(folder)  # not there: nothing to do
    (tmp_path / "unfinished-removal-fold0" / "half").mkdir(parents=True)
    (folder / "deep").mkdir(parents=True)
    files.remove_whole(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_a_folder_is_removed_leaves_nothing_under_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "fold0"
    (folder / "deep").mkdir(parents=True)

    def killed(path, **_):
        if Path(path).exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        files.remove_whole(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["unfinished-removal-fold0"]
