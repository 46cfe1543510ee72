"""Equal rows give equal bytes, and reading undoes writing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, strategies as st

from tumorcf_lib import rowfiles

TEXTS = st.lists(st.text(min_size=1), min_size=1, max_size=5)
NOT_MISSING = ["NA", "None", "null", "nan", "007", "True", '"', ",", "a\nb", "\r", " ", "-1", "1e5"]


@given(TEXTS, st.data())
@example(NOT_MISSING, None)
def test_reading_undoes_writing_whatever_the_text(texts, data):
    n = len(texts)
    words = data.draw(st.lists(st.text(), min_size=n, max_size=n)) if data else [""] * n
    table = pd.DataFrame({"patient_id": texts, "group": texts, "reason": words})
    table = table.assign(slice_id=range(n), p=np.linspace(0, 1, n).round(3))
    read = rowfiles.round_trip(table)
    assert {name: read[name].tolist() for name in read} == table.to_dict("list")


@given(TEXTS.filter(lambda texts: not all(text.lstrip("-").isdecimal() for text in texts)))
@example(["007", "7"])
@example(["True", "False"])
def test_slices_and_classes_of_any_name_come_back_as_they_are(texts):
    table = pd.DataFrame({"slice_id": texts, "label": texts})
    assert rowfiles.round_trip(table).to_dict("list") == table.to_dict("list")


@pytest.mark.parametrize("name", ["table.csv", "rows.csv.gz"])
def test_equal_rows_are_equal_bytes_whenever_they_are_written(name, tmp_path, monkeypatch):
    table = pd.DataFrame({"patient_id": ["007", "Zoë", "患者"], "p": [0.1234567, np.nan, np.inf]})
    rowfiles.write_table(table, tmp_path / name)
    first, read = (tmp_path / name).read_bytes(), rowfiles.read_table(tmp_path / name)
    pd.testing.assert_frame_equal(read, rowfiles.round_trip(table))
    assert read["p"][0] == 0.12346
    monkeypatch.setattr("time.time", lambda: 2e9)
    rowfiles.write_table(table, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
