import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tumorcf_lib import config, paths, publish, readme, results, runner, stages, tables

CLASSES = config.CLASSES


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run of made-up rows, and a scratch repository to publish into."""
    profile = dataclasses.replace(config.get("paper-lite"), n_resamples=40)
    monkeypatch.setitem(config.PROFILES, "paper-lite", profile)
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(stages, "fingerprint", lambda study, name: {"all": "the same"})
    monkeypatch.setattr(publish.sources, "describe", lambda profile: "Made-up rows.")
    for name in ("FIGURES", "NOTEBOOKS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    paths.NOTEBOOKS.mkdir()
    for name in stages.NAMES:
        notebook = {
            "cells": [
                {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "**Runtime** ?"}
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (paths.NOTEBOOKS / f"{name}.ipynb").write_text(json.dumps(notebook))
    parts = "\n".join(
        f"{readme.MARK.format(name=n)}\nold\n<!-- end of {n} -->"
        for n in ("badges", "answer", "headline", "findings", "minutes")
    )
    (tmp_path / "README.md").write_text(f"# Title\n{parts}\nend\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nurls = { Repository = "https://github.com/someone/something" }\n'
    )
    study = publish.runtime.Study(profile, 0, paths.run(profile.name))
    _fill(study)
    (study.folder / "notebooks").mkdir()
    for name in stages.NAMES:
        copy = (paths.NOTEBOOKS / f"{name}.ipynb").read_text()
        runner.executed_copy(study, name).write_text(copy)
    (study.folder / readme.MINUTES).write_text(json.dumps(dict.fromkeys(stages.NAMES, 1.5)))
    return study


def _fill(study):
    rows = {"rows_predictions": _predictions(1), "rows_validation": _predictions(2)}
    rows["rows_edits"] = _edits(rows["rows_predictions"])
    derived = tables.derive(lambda name: results.round_trip(rows[name]), study.profile.n_resamples)
    numbers = list(
        tables.derived_numbers({name: results.round_trip(table) for name, table in derived.items()})
    )
    for name in stages.NAMES:
        stage = results.open_stage(study, name)
        if name == "04_evaluation":
            for row_name in ("rows_predictions", "rows_validation"):
                stage.save_rows(rows[row_name], row_name)
            for table in ("performance", "classes", "confusion", "reliability"):
                stage.save_table(derived[f"table_{table}"], f"table_{table}")
            stage.save_figure(Figure(), "fig_statistics", data=[], shows_slices=False)
            stage.save_figure(Figure(), "fig_patients", data=[], shows_slices=True)
        if name == "05_counterfactuals":
            stage.save_rows(rows["rows_edits"], "rows_edits")
            stage.create_array("pixels", (2, 2), np.float32)
        if name == "06_metrics":
            for table in ("scores", "fall_to", "findings", "edits"):
                stage.save_table(derived[f"table_{table}"], f"table_{table}")
        for stage_name, number, entry in numbers:
            if stage_name == name:
                stage.save_number(number, **entry)
        stage.finish()


def _predictions(seed):
    rng = np.random.default_rng(seed)
    label = np.arange(72) % 3
    p = rng.dirichlet([1, 1, 1], 72)
    p[np.arange(72), label] += 0.7
    p /= p.sum(axis=1, keepdims=True)
    rows = pd.DataFrame({"slice_id": np.arange(72), "patient_id": [f"{i % 36}" for i in range(72)]})
    rows["person_id"] = rows["patient_id"]
    rows["label"] = np.array(CLASSES)[label]
    for k, name in enumerate(CLASSES):
        rows[f"p_{name}"] = p[:, k]
    return rows


def _edits(predictions):
    from tumorcf_lib import metrics

    parts = []
    for number, edit in enumerate(
        ("original", "remove", "only", "background", "blank", "sham", "sham_only")
    ):
        part = predictions.copy()
        columns = [f"p_{name}" for name in CLASSES]
        part[columns] = metrics.apply_temperature(part[columns].to_numpy(), 1 + number)
        uses_infill = edit in ("remove", "sham")
        part = part.assign(
            edit=edit, place=0 if "sham" in edit else -1, dilation_px=0, reason="",
            infill="navier_stokes" if uses_infill else "",
        )  # fmt: skip
        true = part[columns].to_numpy()[np.arange(72), np.arange(72) % 3]
        part["edit_rms"] = 0.1 * number
        part["log_odds"] = metrics.log_odds(true)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_a_patients_slices_are_never_published_and_statistics_are(finished):
    folder = publish.publish("paper-lite")
    names = {path.name for path in folder.iterdir()}
    assert "fig_statistics.png" in names
    assert not any("fig_patients" in name for name in names)
    assert not any(name.endswith(".npy") for name in names)
    assert {"rows_edits.csv.gz", "table_findings.csv", "numbers.json", "manifest.json"} <= names


def test_every_table_of_a_phantom_says_so_and_verifies_all_the_same(finished, monkeypatch):
    phantom = dataclasses.replace(finished.profile, cohort="phantom")
    monkeypatch.setitem(config.PROFILES, "paper-lite", phantom)
    folder = publish.publish("paper-lite")
    for path in folder.glob("*.csv"):
        assert set(results.read_table(path)["cohort"]) <= {"phantom"}
    assert publish.verify(folder)[0] == []


def test_published_results_verify(finished):
    problems, n_checked = publish.verify(publish.publish("paper-lite"))
    assert problems == []
    assert n_checked > 10


def test_a_changed_value_in_a_derived_table_is_named_by_file_and_cell(finished):
    folder = publish.publish("paper-lite")
    table = results.read_table(folder / "table_scores.csv")
    table.loc[4, "effect"] += 0.001
    results.write_table(table, folder / "table_scores.csv")
    problems, _ = publish.verify(folder)
    assert len([p for p in problems if p.startswith("table_scores.csv, row 5, effect:")]) == 1


def test_a_changed_number_row_or_picture_fails(finished):
    folder = publish.publish("paper-lite")
    numbers = json.loads((folder / "numbers.json").read_text())
    numbers["06_metrics"]["net_drop"]["value"] += 0.01
    (folder / "numbers.json").write_text(json.dumps(numbers))
    (folder / "fig_statistics.png").write_bytes(b"another picture")
    (folder / "stray.csv").write_text("x\n1\n")
    text = "\n".join(publish.verify(folder)[0])
    assert "numbers.json, 06_metrics.net_drop.value" in text
    assert "numbers.json has another SHA-256" in text
    assert "fig_statistics.png has another SHA-256" in text
    assert "stray.csv is not in the manifest" in text


def test_rows_that_contradict_each_other_fail(finished):
    folder = publish.publish("paper-lite")
    rows = results.read_table(folder / "rows_predictions.csv.gz")
    rows.loc[3, ["p_meningioma", "p_glioma", "p_pituitary"]] = [0.01, 0.01, 0.98]
    results.write_table(rows, folder / "rows_predictions.csv.gz")
    problems, _ = publish.verify(folder)
    assert any("differ for slice 3" in problem for problem in problems)


def test_a_missing_file_fails(finished):
    folder = publish.publish("paper-lite")
    (folder / "fig_statistics.png").unlink()
    assert publish.verify(folder)[0] == ["fig_statistics.png is missing"]


def test_publishing_twice_gives_the_same_bytes(finished):
    folder = publish.publish("paper-lite")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    publish.publish("paper-lite")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_an_unfinished_run_and_the_smoke_profile_are_refused(finished):
    with pytest.raises(publish.PublishError, match="smoke"):
        publish.publish("smoke")
    (finished.folder / "06_metrics" / stages.RECORD).unlink()
    with pytest.raises(publish.PublishError, match="06_metrics .* is not up to date"):
        publish.publish("paper-lite")


def test_a_stage_that_was_run_again_elsewhere_is_refused_and_nothing_changes(finished):
    folder = publish.publish("paper-lite")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    os.utime(runner.executed_copy(finished, "05_counterfactuals"), (1, 1))
    with pytest.raises(publish.PublishError, match="05_counterfactuals.* outside"):
        publish.publish("paper-lite")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_without_manifest_is_counted_as_one_that_does_not_hold(tmp_path, capsys):
    assert publish.verify_all([tmp_path]) == 1
    assert "holds no manifest.json" in capsys.readouterr().out


def test_readme_and_notebooks_get_their_generated_parts(finished):
    publish.publish("paper-lite")
    text = (paths.ROOT / "README.md").read_text()
    assert "\nold\n" not in text
    assert text.startswith("# Title\n")
    assert "mybinder.org/v2/gh/someone/something" in text
    scores = results.read_table(paths.FIGURES / "paper-lite" / "table_scores.csv")
    net = scores[(scores["score"] == "net_drop") & (scores["group"] == "all")].iloc[0]
    assert f"| **Net-Drop**, all | | {net['effect']:.3f} [{net['low']:.3f}" in text
    assert "| all | **9.0** |" in text
    assert "paper-lite 1.5 min" in (paths.NOTEBOOKS / "01_data.ipynb").read_text()
    assert readme.with_generated_parts(text) == text


def test_a_readme_without_a_place_for_a_part_is_refused():
    with pytest.raises(readme.ReadmeError, match="0 places"):
        readme.with_generated_parts("# Title")


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
    made = publish.with_outputs({"cells": [words, code()], "metadata": {}}, ran)
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
    with pytest.raises(publish.PublishError, match=words):
        publish.with_outputs({"cells": [code()]}, {"cells": [code(**changes)]})


def test_the_committed_readme_is_what_the_committed_results_say():
    text = (paths.ROOT / "README.md").read_text()
    assert readme.with_generated_parts(text) == text


@pytest.mark.parametrize(
    "folder",
    sorted(p.parent for p in paths.FIGURES.glob("*/manifest.json")),
    ids=lambda folder: folder.name,
)
def test_committed_results_verify(folder):
    assert publish.verify(folder)[0] == []


def test_executed_copies_lie_in_the_run(finished):
    assert runner.executed_copy(finished, "01_data").parent == finished.folder / "notebooks"
