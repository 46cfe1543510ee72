import base64
import dataclasses
import functools
import io
import json
import os
import shutil

import fake_controls
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import from_rows, openings, publish, texts
from tumorcf_lib.study import notebooks, results, stages
from tumorcf_lib.tables import derived

N_RESAMPLES = 40
CITATION = config.ROOT / "CITATION.cff"
PARTS = ("badges", "answer", "findings", "clone")
ROWS = {
    "04_evaluation": ("rows_predictions", "rows_validation", "rows_probes", "rows_planes"),
    "05_counterfactuals": ("rows_edits", "rows_networks", "rows_quality", "rows_detector"),
}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run of made-up rows, and a scratch repository to publish into."""
    profile = dataclasses.replace(config.get("paper-lite"), n_resamples=N_RESAMPLES)
    monkeypatch.setitem(config.PROFILES, "paper-lite", profile)
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(stages, "fingerprint", lambda study, name: {"all": "the same"})
    monkeypatch.setattr(derived, "derive", _derive_once)
    monkeypatch.setattr(publish.runtime, "describe", lambda profile: "Made-up rows.")
    for name in ("FIGURES", "NOTEBOOKS"):
        monkeypatch.setattr(config, name, tmp_path / name.lower())
    monkeypatch.setattr(config, "ROOT", tmp_path)
    config.NOTEBOOKS.mkdir()
    for name in stages.NAMES:
        notebook = {
            "cells": [
                {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "**Runtime** ?"}
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (config.NOTEBOOKS / f"{name}.ipynb").write_text(json.dumps(notebook))
    parts = "\n".join(f"{texts.MARK.format(name=n)}\nold\n<!-- end of {n} -->" for n in PARTS)
    (tmp_path / "README.md").write_text(f"# Title\n{parts}\nend\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nurls = { Repository = "https://github.com/someone/something" }\n'
    )
    shutil.copyfile(CITATION, tmp_path / CITATION.name)
    drawn = {"fig18_headline": from_rows.FIGURES["fig18_headline"]}
    monkeypatch.setattr(from_rows, "FIGURES", drawn)
    study = publish.runtime.Study(profile, 0, config.run(profile.name))
    _fill(study)
    (study.folder / "notebooks").mkdir()
    for name in stages.NAMES:
        copy = (config.NOTEBOOKS / f"{name}.ipynb").read_text()
        notebooks.executed_copy(study, name).write_text(copy)
    took = dict.fromkeys(stages.NAMES, 1.5)
    took |= {notebooks.PROCESSOR: "abacus", notebooks.MEMORY: 1.25}
    (study.folder / notebooks.MINUTES).write_text(json.dumps(took))
    return study


@functools.cache
def _made():
    """Row files of a made-up study, and the tables of each notebook from them."""
    rows = {name: rowfiles.round_trip(own) for name, own in fake_controls.study().items()}
    n, edited = N_RESAMPLES, rows["rows_edits"]
    probes, planes = rows["rows_probes"], rows["rows_planes"]
    made = {
        "04_evaluation": derived.evaluation(rows["rows_predictions"], rows["rows_validation"], n)
        | derived.information(probes, planes, n),
        "05_counterfactuals": derived.edits(edited, rows["rows_quality"], rows["rows_detector"], n),
        "06_metrics": derived.scores(edited, n)
        | derived.controls(edited, rows["rows_networks"], probes, rows["covariates"], n),
    }
    return rows, made


_DERIVE, _DERIVED = derived.derive, {}


def _derive_once(read, n_resamples):
    """``derive``, which takes seconds, once for equal rows."""
    rows = {name: read(name) for name in _made()[0]}
    key = n_resamples, *(own.to_csv() for own in rows.values())
    if key not in _DERIVED:
        _DERIVED[key] = _DERIVE(rows.__getitem__, n_resamples)
    return {name: table.copy() for name, table in _DERIVED[key].items()}


def _fill(study):
    """All stages, finished, with what the notebooks save in each."""
    rows, made = _made()
    of_all = {name: rowfiles.round_trip(t) for own in made.values() for name, t in own.items()}
    numbers = list(derived.numbers(of_all))
    for name in stages.NAMES:
        stage = results.open_stage(study, name)
        for row_name in ROWS.get(name, ()):
            stage.save_rows(rows[row_name], row_name)
        for table_name, table in made.get(name, {}).items():
            stage.save_table(table, table_name)
        if name == "03_training":
            for weights in ("weights_fold0.npz", "weights_hardened_fold0.npz"):
                (stage.folder / weights).write_bytes(b"numbers")
                stage.keep(stage.folder / weights)
        if name == "04_evaluation":
            stage.save_figure(Figure(), "fig06_confusion", data=[], shows_slices=False)
            stage.save_figure(Figure(), "fig08_errors", data=[], shows_slices=True)
        if name == "05_counterfactuals":
            stage.save_table(rows["covariates"], "covariates")
            stage.create_array("pixels", (2, 2), np.float32)
        for stage_name, number, entry in numbers:
            if stage_name == name:
                stage.save_number(number, **entry)
        stage.finish()


def test_a_patients_slices_are_never_published_and_statistics_are(finished):
    folder = publish.publish("paper-lite")
    names = {path.name for path in folder.iterdir()}
    assert "fig06_confusion.png" in names
    assert not any("fig08_errors" in name for name in names)
    assert not any(name.endswith(".npy") for name in names)
    assert "fig18_headline.svg" in names  # which no notebook saved: it follows from rows
    assert {"rows_edits.csv.gz", "table_claims.csv", "numbers.json", "manifest.json"} <= names


def test_all_rows_tables_and_networks_are_published(finished):
    rows, made = _made()
    names = {path.name for path in publish.publish("paper-lite").iterdir()}
    assert {f"{name}.csv.gz" for name in rows if name != "covariates"} <= names
    assert "covariates.csv" in names
    assert {f"{name}.csv" for own in made.values() for name in own} <= names
    weights = sorted(name for name in names if name.startswith("weights"))
    assert weights == ["weights_fold0.npz", "weights_hardened_fold0.npz"]


def test_of_a_phantom_the_plain_network_is_published(finished, monkeypatch):
    phantom = dataclasses.replace(finished.profile, cohort="phantom")
    monkeypatch.setitem(config.PROFILES, "paper-lite", phantom)
    folder = publish.publish("paper-lite")
    assert [path.name for path in folder.glob("*.npz")] == ["weights_fold0.npz"]


def test_every_table_of_a_phantom_says_so_and_verifies_all_the_same(finished, monkeypatch):
    phantom = dataclasses.replace(finished.profile, cohort="phantom")
    monkeypatch.setitem(config.PROFILES, "paper-lite", phantom)
    folder = publish.publish("paper-lite")
    for path in folder.glob("*.csv"):
        assert set(rowfiles.read_table(path)["cohort"]) == {"phantom"}, path.name
    assert publish.verify(folder)[0] == []


def test_published_results_verify(finished):
    problems, n_checked = publish.verify(publish.publish("paper-lite"))
    assert problems == []
    rows, made = _made()
    assert n_checked > len(rows) + sum(map(len, made.values()))


def test_a_changed_value_in_a_derived_table_is_named_by_file_and_cell(finished):
    folder = publish.publish("paper-lite")
    table = rowfiles.read_table(folder / "table_scores.csv")
    table.loc[4, "effect"] += 0.001
    rowfiles.write_table(table, folder / "table_scores.csv")
    problems, _ = publish.verify(folder)
    assert len([p for p in problems if p.startswith("table_scores.csv, row 5, effect:")]) == 1


def test_a_changed_number_row_or_picture_fails(finished):
    folder = publish.publish("paper-lite")
    numbers = json.loads((folder / "numbers.json").read_text())
    numbers["06_metrics"]["net_drop"]["value"] += 0.01
    (folder / "numbers.json").write_text(json.dumps(numbers))
    (folder / "fig06_confusion.png").write_bytes(b"another picture")
    (folder / "stray.csv").write_text("x\n1\n")
    text = "\n".join(publish.verify(folder)[0])
    assert "numbers.json, 06_metrics.net_drop.value" in text
    assert "numbers.json has another SHA-256" in text
    assert "fig06_confusion.png has another SHA-256" in text
    assert "stray.csv is not in the manifest" in text


def test_rows_that_contradict_each_other_fail(finished):
    folder = publish.publish("paper-lite")
    rows = rowfiles.read_table(folder / "rows_predictions.csv.gz")
    rows.loc[3, ["p_meningioma", "p_glioma", "p_pituitary"]] = [0.01, 0.01, 0.98]
    rowfiles.write_table(rows, folder / "rows_predictions.csv.gz")
    problems, _ = publish.verify(folder)
    assert any("differ for slice 3" in problem for problem in problems)


def test_a_changed_row_of_a_control_fails_in_every_table_made_from_it(finished):
    folder = publish.publish("paper-lite")
    rows = rowfiles.read_table(folder / "rows_networks.csv.gz")
    removed = (rows["network"] == "looking") & (rows["edit"] == "remove")
    names = [f"p_{name}" for name in config.CLASSES]
    rows.loc[removed, names] = np.roll(rows.loc[removed, names].to_numpy(), 1, axis=1)
    rowfiles.write_table(rows, folder / "rows_networks.csv.gz")
    covariates = rowfiles.read_table(folder / "covariates.csv")
    covariates["contrast"] = covariates["contrast"].to_numpy()[::-1]
    rowfiles.write_table(covariates, folder / "covariates.csv")
    files = {problem.split(".csv")[0] for problem in publish.verify(folder)[0]}
    assert files == {
        "rows_networks",
        "covariates",
        "table_networks",
        "table_robustness",
        "table_covariates",
    }


def test_without_a_row_file_nothing_can_be_verified(finished):
    folder = publish.publish("paper-lite")
    (folder / "rows_probes.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no rows_probes.csv"):
        publish.verify(folder)


def test_a_missing_file_fails(finished):
    folder = publish.publish("paper-lite")
    (folder / "fig06_confusion.png").unlink()
    assert publish.verify(folder)[0] == ["fig06_confusion.png is missing"]


def test_publishing_twice_gives_the_same_bytes(finished):
    folder = publish.publish("paper-lite")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    publish.publish("paper-lite")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def killed(*_, **__):
    raise KeyboardInterrupt


def test_a_kill_while_publishing_changes_nothing_and_what_it_leaves_is_not_verified(
    finished, monkeypatch, capsys
):
    folder = publish.publish("paper-lite")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(publish.steps.shutil, "rmtree", lambda *_, **__: None)  # as who is killed
        patch.setattr(publish.steps.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            publish.publish("paper-lite")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    left = config.FIGURES / "unfinished-paper-lite"
    assert (left / publish.MANIFEST).is_file()
    assert publish.verify_all([]) == 0
    assert "unfinished" not in capsys.readouterr().out
    publish.publish("paper-lite")
    assert [path.name for path in config.FIGURES.iterdir() if path.is_dir()] == ["paper-lite"]


def test_a_kill_while_a_notebook_or_readme_is_written_leaves_the_committed_one(
    finished, monkeypatch
):
    kept = [config.ROOT / "README.md", *sorted(config.NOTEBOOKS.iterdir())]
    before = [path.read_text() for path in kept]
    write = publish.steps.Path.write_bytes

    def half_of(name):
        def half_then_killed(self, data):
            write(self, data[: len(data) // 2] if self.name.endswith(name) else data)
            if self.name.endswith(name):
                raise KeyboardInterrupt

        return half_then_killed

    for name in ("01_data.ipynb", "README.md"):
        with monkeypatch.context() as patch:
            patch.setattr(publish.steps.Path, "write_bytes", half_of(name))
            with pytest.raises(KeyboardInterrupt):
                publish.publish("paper-lite")
        index = [path.name for path in kept].index(name)
        assert kept[index].read_text() == before[index]
        assert not list(config.ROOT.glob("unfinished-*"))


def test_numbers_that_an_older_run_left_in_a_stage_are_not_published(finished):
    stray = finished.folder / "02_preprocessing" / publish.NUMBERS
    assert not stray.exists()
    stray.write_text('{"frozen_shift": {"value": 7}}')
    folder = publish.publish("paper-lite")
    assert "02_preprocessing" not in json.loads((folder / publish.NUMBERS).read_text())


def test_an_unfinished_run_and_the_smoke_profile_are_refused(finished):
    with pytest.raises(publish.PublishError, match="smoke"):
        publish.publish("smoke")
    (finished.folder / "06_metrics" / stages.RECORD).unlink()
    with pytest.raises(publish.PublishError, match="06_metrics .* is not up to date"):
        publish.publish("paper-lite")


def test_a_stage_that_was_run_again_elsewhere_is_refused_and_nothing_changes(finished):
    folder = publish.publish("paper-lite")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    os.utime(notebooks.executed_copy(finished, "05_counterfactuals"), (1, 1))
    with pytest.raises(publish.PublishError, match="05_counterfactuals.* outside"):
        publish.publish("paper-lite")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_without_manifest_is_counted_as_one_that_does_not_hold(tmp_path, capsys):
    assert publish.verify_all([tmp_path]) == 1
    assert "holds no manifest.json" in capsys.readouterr().out


def test_readme_results_and_notebooks_get_their_generated_parts(finished):
    publish.publish("paper-lite")
    text = (config.ROOT / "README.md").read_text()
    assert "\nold\n" not in text and text.startswith("# Title\n")
    assert "mybinder.org/v2/gh/someone/something" in text
    assert texts.with_generated_parts(text) == text
    told = (config.ROOT / "RESULTS.md").read_text()
    assert told == texts.results()
    scores = rowfiles.read_table(config.FIGURES / "paper-lite" / "table_scores.csv")
    net = scores[(scores["score"] == "net_drop") & (scores["group"] == "glioma")].iloc[0]
    assert f"| **Net-Drop**, glioma | {net['effect']:.3f} [{net['low']:.3f}" in told
    networks = rowfiles.read_table(config.FIGURES / "paper-lite" / "table_networks.csv")
    keys = ("network", "score", "infill", "group")
    looking = networks.set_index(list(keys)).loc[("looking", "net_drop", "unseen", "glioma")]
    (line,) = (row for row in told.splitlines() if row.startswith("| Net-Drop, other infills, gl"))
    effect, low, high = looking[["effect", "low", "high"]]
    assert line.endswith(f"| {effect:.3f} [{low:.3f}, {high:.3f}] |")
    assert "| all | **9.0** |" in told
    assert "| 9 minutes (abacus), 1.2 GB of memory, the dataset |" in told
    assert "| 4 minutes (abacus), the dataset | the same from the published weights" in told
    assert "paper-lite 1.5 min" in (config.NOTEBOOKS / "01_data.ipynb").read_text()


def code(source="1", **changes):
    return {
        "cell_type": "code",
        "execution_count": 1,
        "outputs": [],
        "source": source,
        "metadata": {"papermill": {"duration": 3}, "tags": []},
        "id": "a",
        **changes,
    }


def test_outputs_are_taken_from_the_run_and_prose_from_the_committed_notebook():
    words = {"cell_type": "markdown", "source": "new words", "metadata": {}, "id": "b"}
    stderr = {"output_type": "stream", "name": "stderr", "text": "/opt/x/tqdm.py: 30%|###"}
    stdout = {"output_type": "stream", "name": "stdout", "text": "net 0.4"}
    injected = code("SEED = 3", metadata={"tags": ["injected-parameters"]})
    ran = {
        "cells": [{**words, "source": "old words"}, injected, code(outputs=[stderr, stdout])],
        "metadata": {"papermill": {}},
    }
    made = openings.with_outputs({"cells": [words, code()], "metadata": {}}, ran)
    assert [cell["source"] for cell in made["cells"]] == ["new words", "1"]
    assert made["cells"][1]["outputs"] == [stdout]
    assert "papermill" not in json.dumps(made)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": [{"output_type": "error"}]}, "error"),
        ({"execution_count": None}, "not run"),
        ({"source": "2"}, "other code"),
    ],
)
def test_a_run_that_does_not_fit_its_notebook_is_refused(changes, words):
    with pytest.raises(openings.OutputsError, match=words):
        openings.with_outputs({"cells": [code()]}, {"cells": [code(**changes)]})


def test_a_notebooks_picture_gets_smaller_and_stays_the_same_to_the_eye():
    buffer = io.BytesIO()
    shades = np.linspace(0, 255, 200).astype(np.uint8)
    pixels = np.stack([np.tile(shades, (100, 1))] * 3, axis=2)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    small = openings.smaller_png(data)
    assert len(small) < len(data) / 5
    again = np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB"))
    assert np.abs(again.astype(int) - pixels).max() <= 4
    assert openings.smaller_png(small) == small


@pytest.mark.parametrize(
    "folder",
    sorted(p.parent for p in config.FIGURES.glob("*/manifest.json")),
    ids=lambda folder: folder.name,
)
def test_committed_results_verify(folder):
    assert publish.verify(folder)[0] == []


def test_executed_copies_lie_in_the_run(finished):
    assert notebooks.executed_copy(finished, "01_data").parent == finished.folder / "notebooks"
