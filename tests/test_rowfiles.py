import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, strategies as st

from tumorcf_lib import config, rowfiles

TEXTS = st.lists(st.text(min_size=1), min_size=1, max_size=5)
NOT_MISSING = ["NA", "None", "null", "nan", "007", "True", '"', ",", "a\nb", "\r", " ", "-1", "1e5"]


@given(TEXTS, st.data())
@example(NOT_MISSING, None)
def test_reading_undoes_writing_whatever_the_text(texts, data):
    words = (
        data.draw(st.lists(st.text(), min_size=len(texts), max_size=len(texts)))
        if data
        else ([""] * len(texts))
    )
    table = pd.DataFrame(
        {
            "patient_id": texts,
            "group": texts,
            "reason": words,
            "slice_id": range(len(texts)),
            "p": np.linspace(0, 1, len(texts)).round(3),
        }
    )
    read = rowfiles.round_trip(table)
    assert {name: read[name].tolist() for name in read} == table.to_dict("list")


@given(TEXTS.filter(lambda texts: not all(text.lstrip("-").isdecimal() for text in texts)))
@example(["007", "7"])
@example(["NA", "12"])
@example(["True", "False"])
def test_slices_and_classes_of_any_name_come_back_as_they_are(texts):
    table = pd.DataFrame({"slice_id": texts, "label": texts})
    assert rowfiles.round_trip(table).to_dict("list") == table.to_dict("list")


@pytest.mark.parametrize("name", ["table.csv", "rows.csv.gz"])
def test_a_table_in_a_file_is_what_it_is_in_memory_and_utf_8(name, tmp_path):
    table = pd.DataFrame({"patient_id": ["007", "Zoë", "患者"], "p": [0.1234567, np.nan, np.inf]})
    rowfiles.write_table(table, tmp_path / name)
    read = rowfiles.read_table(tmp_path / name)
    pd.testing.assert_frame_equal(read, rowfiles.round_trip(table))
    assert read["p"][0] == 0.12346


@pytest.mark.parametrize("name", ["table.csv", "rows.csv.gz"])
def test_a_table_is_written_as_a_whole_or_not_at_all(name, tmp_path, monkeypatch):
    path = tmp_path / name
    rowfiles.write_table(pd.DataFrame({"a": [1]}), path)
    before, write = path.read_bytes(), Path.write_bytes

    def half_then_killed(self, data):
        write(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half_then_killed)
    with pytest.raises(KeyboardInterrupt):
        rowfiles.write_table(pd.DataFrame({"a": range(100)}), path)
    with pytest.raises(KeyboardInterrupt):
        rowfiles.write_table(pd.DataFrame({"a": [2]}), tmp_path / f"new-{name}")
    assert path.read_bytes() == before
    assert not (tmp_path / f"new-{name}").exists()


def test_every_file_is_opened_with_its_encoding():
    for path in (config.ROOT / "tumorcf_lib").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(call, "func", None), "attr", "")
            if name in ("read_text", "write_text", "FileHandler"):
                assert "encoding" in [k.arg for k in call.keywords], f"{path}:{call.lineno}"
