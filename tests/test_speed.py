"""README's paragraph on speed says what the results of the benchmarks say."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

import benchmarks
from benchmarks import cohort_size, measure, report
from tumorcf_lib import config
from tumorcf_lib.publish import speed

ROW = measure.Row("", "", "", 1, "slices", 3, 1.0, 1.0, 1.0, 1.0, 1.0)


def lines():
    """Made-up results of all benchmarks that the paragraph tells of."""
    made = [
        dataclasses.replace(ROW, benchmark=benchmark, case=case, ratio=10.0 + k)
        for k, (benchmark, case) in enumerate(speed.TIMES.values())
    ]
    made += [
        dataclasses.replace(ROW, benchmark="audit", case=case, seconds=seconds)
        for case, seconds in (("bare: as many slices", 2.0), ("audit", 3.0), ("naive: one", 24.0))
    ]
    for k, stage in enumerate(speed.STAGES):
        for case, ratio, memory in (("x1", 1.0, 100.0), ("x3", 1.0, 0.0), ("x10", 0.5, 104.0 + k)):
            made.append(dataclasses.replace(
                ROW, benchmark="cohort size", setting=stage, case=case, ratio=ratio,
                anonymous_mb=memory,
            ))  # fmt: skip
    for case, seconds in (("bare interpreter", 0.021), ("import tumorcf_lib", 0.05)):
        made.append(dataclasses.replace(ROW, benchmark="start-up", case=case, seconds=seconds))
    return made


def test_the_paragraph_says_the_results_read_back_from_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "ROOT", tmp_path)
    assert "not published yet" in speed.paragraph()
    report.write(lines(), {}, tmp_path / "benchmarks")
    text = speed.paragraph()
    for words in (
        "10 times as fast when the dataset is read again", "11 times in drawing phantoms",
        "12 times in removing tumors", "13 times in finding all places", "network 14 times",
        "audit is 8 times as fast as one edit", "takes 1.5 times as long as the network alone",
        "one slice takes 2, 2 and 2 times as long", "grows by 4, 5 and 6 MB",
        "takes 0.05 s, 0.021 s of them",
    ):  # fmt: skip
        assert words in text


def test_an_import_that_takes_no_time_of_its_own_is_said_to_add_nothing():
    rows = [dataclasses.replace(row, seconds=0.02) if row.case == "import tumorcf_lib" else row
            for row in lines()]
    text = speed.described(report.table(rows))
    assert text.endswith("`import tumorcf_lib` adds nothing measurable to Python's own start "
                         "(0.021 s).")


def test_sizes_of_slices_are_told_apart():
    both = [
        dataclasses.replace(row, setting=setting, ratio=ratio)
        for row in lines() if row.benchmark == "inpainting"
        for setting, ratio in (("60 slices, 224 px", 8.04), ("60 slices, 512 px", 31.0))
    ]  # fmt: skip
    rest = [row for row in lines() if row.benchmark != "inpainting"]
    text = speed.described(report.table(both + rest))
    assert "8 (224 px) and 31 (512 px) times in removing" in text


@pytest.mark.parametrize("missing", ["reader", "audit", "cohort size", "start-up"])
def test_results_of_some_benchmarks_are_refused_by_name(missing):
    some = report.table([row for row in lines() if row.benchmark != missing])
    with pytest.raises(speed.BenchmarksError, match=missing):
        speed.described(some)


def test_memory_that_was_not_measured_is_not_told():
    rows = [dataclasses.replace(row, anonymous_mb=float("nan")) for row in lines()]
    assert "nan" not in speed.described(pd.DataFrame(report.table(rows)))


def test_the_benchmarks_have_the_lines_that_the_paragraph_tells_of():
    code = "".join(path.read_text() for path in Path(benchmarks.__file__).parent.glob("*.py"))
    for benchmark, case in speed.TIMES.values():
        assert f'"{benchmark}"' in code and f'"{case}"' in code
    assert tuple(cohort_size.STAGES) == speed.STAGES
    assert {f"x{times}" for times in cohort_size.TIMES} >= {speed.SMALL, speed.LARGE}
