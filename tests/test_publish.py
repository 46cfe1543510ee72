import base64
import dataclasses
import functools
import io
import json
import os
import shutil

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.publish import from_rows, publish, texts
from tumorcf_lib.study import notebooks, results, side_studies, stages
from tumorcf_lib.tables import derived

N_RESAMPLES = 40
ROOT = config.ROOT
P = [f"p_{name}" for name in config.CLASSES]
PARTS = ("badges", "answer", "findings", "clone")
READ = side_studies.reader(config.published("demo"))
NAMES = "predictions validation edits networks probes planes quality detector".split()


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A finished run of made-up rows, and a scratch repository to publish into."""
    profile = dataclasses.replace(config.get("paper-lite"), n_resamples=N_RESAMPLES)
    monkeypatch.setitem(config.PROFILES, "paper-lite", profile)
    monkeypatch.setenv("TUMORCF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(stages, "fingerprint", lambda study, name: {"all": "the same"})
    monkeypatch.setattr(derived, "derive", _derive_once)
    monkeypatch.setattr(publish.runtime, "describe", lambda profile: "Made-up rows.")
    monkeypatch.setattr(publish, "MAX_WEIGHTS_BYTES", 50)
    for name in ("FIGURES", "NOTEBOOKS"):
        monkeypatch.setattr(config, name, tmp_path / name.lower())
    monkeypatch.setattr(config, "ROOT", tmp_path)
    config.NOTEBOOKS.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("**Runtime** ?")])
    for name in stages.NAMES:
        nbformat.write(notebook, config.NOTEBOOKS / f"{name}.ipynb")
    parts = (f"{texts.MARK.format(name=n)}\nold\n<!-- end of {n} -->\n" for n in PARTS)
    (tmp_path / "README.md").write_text("".join(["# Title\n", *parts]))
    urls = '[project.urls]\nRepository = "https://github.com/someone/something"\n'
    (tmp_path / "pyproject.toml").write_text(urls)
    for name in ("CITATION.cff", "benchmarks/results.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    for name in set(from_rows.FIGURES) - {"fig18_headline"}:
        monkeypatch.delitem(from_rows.FIGURES, name)
    study = publish.runtime.Study(profile, 0, config.run(profile.name))
    _fill(study)
    shutil.copytree(config.NOTEBOOKS, study.folder / "notebooks", copy_function=shutil.copyfile)
    took = dict.fromkeys(stages.NAMES, 1.5)
    took |= {notebooks.PROCESSOR: "abacus", notebooks.MEMORY: 1.25}
    (study.folder / notebooks.MINUTES).write_text(json.dumps(took))
    return study


@functools.cache
def _rows():
    """Of the published phantom: two tested slices of twelve patients a class, numbered from 0."""
    rows = {name: READ(name) for name in [*(f"rows_{name}" for name in NAMES), "covariates"]}
    predictions, few = rows["rows_predictions"], {"rows_validation": rows.pop("rows_validation")}
    patients = predictions.drop_duplicates("person_id").groupby("label")["person_id"].head(12)
    own = predictions[predictions["person_id"].isin(patients)].groupby("person_id").head(2)
    number = {slice_id: k for k, slice_id in enumerate(own["slice_id"])}
    for name, table in rows.items():
        chosen = table[table["slice_id"].isin(own["slice_id"])].reset_index(drop=True)
        few[name] = chosen.assign(slice_id=chosen["slice_id"].map(number))
    return {name: rowfiles.round_trip(table) for name, table in few.items()}


_DERIVE, _DERIVED = derived.derive, {}


def _derive_once(read, n_resamples=N_RESAMPLES):
    """``derive``, which takes seconds, once for equal rows."""
    rows = {name: read(name) for name in _rows()}
    key = n_resamples, *(own.to_csv() for own in rows.values())
    if key not in _DERIVED:
        _DERIVED[key] = _DERIVE(rows.__getitem__, n_resamples)
    return {name: table.copy() for name, table in _DERIVED[key].items()}


def _made():
    return {name: rowfiles.round_trip(own) for name, own in _derive_once(_rows().get).items()}


def _fill(study):
    """All stages, finished; it does not matter which of them saves what."""
    for name in stages.NAMES:
        stage = results.open_stage(study, name)
        if name == "05_counterfactuals":
            for network, n_bytes in (("", 9), ("hardened_", 9), ("looking_", 99)):
                weights = stage.folder / f"weights_{network}fold0.npz"
                weights.write_bytes(b"n" * n_bytes)
                stage.keep(weights)
            stage.create_array("pixels", (2, 2), np.float32)
            stage.save_figure(Figure(), "fig06_confusion", data=[], shows_slices=False)
            stage.save_figure(Figure(), "fig08_errors", data=[], shows_slices=True)
            stage.save_table(_rows()["covariates"], "covariates")
            for row_name in set(_rows()) - {"covariates"}:
                stage.rows(row_name, functools.partial(_rows().get, row_name))
            for table_name, table in _made().items():
                stage.save_table(table, table_name)
        for stage_name, number, entry in derived.numbers(_made()):
            if stage_name == name:
                stage.save_number(number, **entry)
        stage.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_published_is_all_but_a_patients_slices_and_it_verifies_and_is_equal_each_time(
    finished, capsys
):
    folder = publish.publish("paper-lite")
    first = contents(folder)
    assert {"fig06_confusion.png", "covariates.csv", "numbers.json", "manifest.json"} <= set(first)
    assert not any("fig08_errors" in name or name.endswith(".npy") for name in first)
    assert "fig18_headline.svg" in first  # which no notebook saved: it follows from rows
    assert {f"{name}.csv.gz" for name in _rows() if name != "covariates"} <= set(first)
    assert {f"{name}.csv" for name in _made()} <= set(first)
    weights = {name for name in first if name.startswith("weights")}
    assert weights == {"weights_fold0.npz", "weights_hardened_fold0.npz"}  # small enough for git
    assert publish.verify(folder) == ([], len(first) - 1)
    left = config.FIGURES / f"{steps.UNFINISHED}paper-lite"  # by a publishing that was killed
    shutil.copytree(folder, left)
    assert publish.verify_all([]) == 0 and "unfinished" not in capsys.readouterr().out
    assert contents(publish.publish("paper-lite")) == first and not left.exists()


def test_a_phantoms_tables_say_so_and_one_network_is_published(finished, monkeypatch):
    phantom = dataclasses.replace(finished.profile, cohort="phantom")
    monkeypatch.setitem(config.PROFILES, "paper-lite", phantom)
    folder = publish.publish("paper-lite")
    assert [path.name for path in folder.glob("*.npz")] == ["weights_fold0.npz"]
    assert (folder / "fig08_errors.png").is_file()
    for path in folder.glob("*.csv"):
        assert set(rowfiles.read_table(path)["cohort"]) == {"phantom"}, path.name
    assert publish.verify(folder)[0] == []


def change(path, row, columns, values):
    table = rowfiles.read_table(path)
    table.loc[row, columns] = values
    rowfiles.write_table(table, path)


def test_whatever_is_changed_in_a_published_folder_is_named(finished, capsys):
    folder = publish.publish("paper-lite")
    whole = contents(folder)

    def problems(damage):
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        damage()
        return publish.verify(folder)[0]

    found = problems(lambda: change(folder / "table_scores.csv", 4, "effect", 0.001))
    assert len([p for p in found if p.startswith("table_scores.csv, row 5, effect:")]) == 1
    numbers = json.loads(whole["numbers.json"])
    numbers["06_metrics"]["net_drop"]["value"] += 0.01
    found = "\n".join(problems(lambda: (folder / "numbers.json").write_text(json.dumps(numbers))))
    assert "numbers.json, 06_metrics.net_drop.value" in found
    assert "numbers.json has another SHA-256" in found
    other = [0.01, 0.01, 0.98]
    found = problems(lambda: change(folder / "rows_predictions.csv.gz", 3, P, other))
    assert any("differ for slice 3" in problem for problem in found)
    # rows of a control are found in every table that is made of them
    rows = rowfiles.read_table(folder / "rows_networks.csv.gz")
    removed = (rows["network"] == "looking") & (rows["edit"] == "remove")
    turned = np.roll(rows.loc[removed, P], 1, axis=1)
    found = problems(lambda: change(folder / "rows_networks.csv.gz", removed, P, turned))
    tables = {problem.split(".csv")[0] for problem in found}
    assert tables == {"rows_networks", "table_networks", "table_robustness"}
    assert problems((folder / "fig06_confusion.png").unlink) == ["fig06_confusion.png is missing"]
    found = problems(lambda: (folder / "stray.csv").write_text("x\n1\n"))
    assert found == ["stray.csv is not in the manifest"]
    cut, manifest = folder / "rows_probes.csv.gz", folder / "manifest.json"
    half = whole[cut.name][:-9]
    for damage in (lambda: cut.write_bytes(half), lambda: cut.write_text(""), cut.unlink):
        found = "\n".join(problems(damage))
        assert f"{cut.name} " in found and "its tables cannot be recomputed: " in found
    for damage in (lambda: manifest.write_text("{"), manifest.unlink):
        damage()
        assert publish.verify_all([folder]) == 1
        assert "holds no manifest.json that can be read" in capsys.readouterr().out


def test_what_is_not_one_finished_run_is_refused_and_nothing_changes(finished):
    for name in ("smoke", "smoke-cv"):
        with pytest.raises(publish.PublishError, match=f"{name}' only tests that"):
            publish.publish(name)
    # numbers that an older run left in a stage are none of this run
    (finished.folder / "02_preprocessing" / publish.NUMBERS).write_text('{"x": {"value": 7}}')
    folder = publish.publish("paper-lite")
    before = contents(folder)
    assert "02_preprocessing" not in json.loads(before[publish.NUMBERS])
    os.utime(notebooks.executed_copy(finished, "05_counterfactuals"), (1, 1))
    with pytest.raises(publish.PublishError, match="05_counterfactuals.* outside"):
        publish.publish("paper-lite")
    (finished.folder / "06_metrics" / steps.RECORD).unlink()
    with pytest.raises(publish.PublishError, match="06_metrics .* is not up to date"):
        publish.publish("paper-lite")
    assert contents(folder) == before


def test_readme_results_and_notebooks_get_their_generated_parts(finished):
    folder = publish.publish("paper-lite")
    text = (config.ROOT / "README.md").read_text()
    assert "\nold\n" not in text and text.startswith("# Title\n")
    assert "mybinder.org/v2/gh/someone/something" in text
    shown = (config.FIGURES / "README.md").read_text()
    assert "fig18_headline: Delta-Drop beside Sham-Drop" in shown
    assert "![fig06_confusion](paper-lite/fig06_confusion.png)\n" in shown  # of a reader's notebook
    told = (config.ROOT / "RESULTS.md").read_text()
    scores = rowfiles.read_table(folder / "table_scores.csv").set_index(["score", "group"])
    net = scores.loc["net_drop", "glioma"]
    assert f"| **Net-Drop**, glioma | {net['effect']:.3f} [{net['low']:.3f}" in told
    assert "| 9 minutes (abacus), 1.2 GB of memory, the dataset |" in told
    assert "paper-lite 1.5 min" in (config.NOTEBOOKS / "01_data.ipynb").read_text()


def code(source="1", **changes):
    cell = {"cell_type": "code", "execution_count": 1, "outputs": [], "source": source, "id": "a"}
    return cell | {"metadata": {"papermill": {"duration": 3}, "tags": []}} | changes


def test_outputs_are_taken_from_a_run_of_the_same_code_and_prose_from_the_committed_notebook():
    words = {"cell_type": "markdown", "source": "new words", "metadata": {}, "id": "b"}
    stderr = {"output_type": "stream", "name": "stderr", "text": "/opt/x/tqdm.py: 30%|###"}
    stdout = {"output_type": "stream", "name": "stdout", "text": "net 0.4"}
    injected = code("SEED = 3", metadata={"tags": ["injected-parameters"]})
    ran = [{**words, "source": "old words"}, injected, code(outputs=[stderr, stdout])]
    ran = {"cells": ran, "metadata": {"papermill": {}}}
    made = texts.with_outputs({"cells": [words, code()], "metadata": {}}, ran)
    assert [cell["source"] for cell in made["cells"]] == ["new words", "1"]
    assert made["cells"][1]["outputs"] == [stdout]
    assert "papermill" not in json.dumps(made)
    for changes, words in (
        ({"outputs": [{"output_type": "error"}]}, "error"),
        ({"execution_count": None}, "not run"),
        ({"source": "2"}, "other code"),
    ):
        with pytest.raises(texts.PublishError, match=words):
            texts.with_outputs({"cells": [code()]}, {"cells": [code(**changes)]})


def test_a_notebooks_picture_gets_smaller_and_stays_the_same_to_the_eye():
    buffer, shades = io.BytesIO(), np.linspace(0, 255, 200).astype(np.uint8)
    pixels = np.broadcast_to(shades[:, None], (100, 200, 3)).copy()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    small = texts.smaller_png(data)
    assert len(small) < len(data) / 5
    again = np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB"))
    assert np.abs(again.astype(int) - pixels).max() <= 4


@pytest.mark.parametrize(
    "folder",
    sorted(p.parent for p in config.FIGURES.glob("*/manifest.json")),
    ids=lambda folder: folder.name,
)
def test_committed_results_verify(folder):
    assert publish.verify(folder)[0] == []
