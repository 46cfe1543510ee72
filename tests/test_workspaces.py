import pytest

from tumorcf_lib import files, workspaces


def open_one(parent, depends_on=3, **options):
    return workspaces.open_workspace(parent, "fold0", {"epochs": depends_on}, **options)


@pytest.fixture
def done(tmp_path):
    """A sealed workspace of two files."""
    folder = open_one(tmp_path)
    (folder / "deep").mkdir()
    (folder / "weights").write_text("1 2 3")
    (folder / "deep" / "history").write_text("4 5 6")
    workspaces.seal(folder)
    return folder


def test_a_workspace_is_kept_while_its_dependencies_hold_and_replaced_otherwise(tmp_path, done):
    assert open_one(tmp_path) == done
    assert (done / "weights").read_text() == "1 2 3"
    other = open_one(tmp_path, depends_on=4)
    assert other != done
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_workspace_that_is_not_sealed_yet_goes_on_as_it_was_left(tmp_path):
    folder = open_one(tmp_path)
    (folder / "epoch1").write_text("weights")
    assert (open_one(tmp_path) / "epoch1").read_text() == "weights"


@pytest.mark.parametrize("name", ["weights", "deep/history", workspaces.SEAL])
def test_what_was_changed_after_the_seal_is_said_and_made_again(tmp_path, done, capsys, name):
    (done / name).write_text("7 8 9")
    assert not list(open_one(tmp_path).iterdir())
    assert f"{name} is not as it was made: made again." in capsys.readouterr().out


def test_what_vanished_after_the_seal_is_made_again(tmp_path, done):
    (done / "deep" / "history").unlink()
    assert not list(open_one(tmp_path).iterdir())


def test_a_seal_leaves_no_state_of_a_training_that_a_kill_left(tmp_path):
    folder = open_one(tmp_path)
    (folder / "fold0").mkdir()
    for name in ("weights", files.CHECKPOINT, f"fold0/{files.CHECKPOINT}"):
        (folder / name).write_text("1 2 3")
    workspaces.seal(folder)
    assert {p.name for p in folder.iterdir()} == {"weights", "fold0", workspaces.SEAL}
    assert not list((folder / "fold0").iterdir())
    assert workspaces.changed_file(folder) is None


def test_a_workspace_asked_anew_is_empty(tmp_path, done):
    assert not list(open_one(tmp_path, fresh=True).iterdir())


def test_a_removal_that_is_killed_leaves_nothing_under_the_name(tmp_path, done, monkeypatch):
    def killed(folder, **options):
        if folder.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        open_one(tmp_path, fresh=True)
    assert not done.exists()
    monkeypatch.undo()
    files.clear_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


def test_seconds_are_summed_and_a_file_that_was_cut_off_counts_none(tmp_path):
    for name, text in (("a", "1.5\n"), ("b", "2.0\n"), ("c", ""), ("d", "\x00\x00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / workspaces.SECONDS).write_text(text)
    assert workspaces.kept_seconds(tmp_path) == 3.5
    workspaces.note_seconds(tmp_path / "c", 4)
    assert workspaces.kept_seconds(tmp_path) == 7.5
