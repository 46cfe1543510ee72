"""Claims about the report: the answer first, self-contained, and right for any classes."""

import json
import re
from dataclasses import replace

import numpy as np
import pictures
import pytest

from benchmarks import foreign
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.your_model import nulls, page, report, running


def make_cohort(classes, n):
    """Heads with a tumor, but none in slices of the class "none"; two slices a patient."""
    cohort = pictures.cohort(n, classes=classes)
    cohort.masks[[classes[label] == "none" for label in cohort.labels]] = False
    return replace(cohort, source="Drawn, <b>not</b> seen.")


def audit_of(cohort, predict=None, edits=plan.network_edits([], 2)):
    """The audit of a reader of the tumor's brightness, or of another classifier."""

    def reader(slices):
        level = slices[:, 18:25, 26:33].mean(axis=(1, 2))
        return foreign.softmax(level[:, None] * np.arange(len(cohort.classes)))

    rows = audit.audit(predict or reader, cohort, n_places=2, edits=edits)
    return running.audited("mine", rows, cohort, cohort.classes)


@pytest.fixture(scope="module", autouse=True)
def few_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nulls, "N_RANDOM", 10)
        yield


@pytest.fixture(scope="module")
def audited(few_networks):
    """A cohort of two classes, one without tumors, and its audit with further edits."""
    edits = (*plan.HEADLINE_EDITS, *plan.control_edits(["telea"], [2], 512, 1))
    cohort = make_cohort(("a", "none"), 12)
    return cohort, audit_of(cohort, edits=edits)


@pytest.fixture(scope="module")
def written(audited, tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), *audited)


def write(folder, cohort, one, **options):
    """The text of the page that a report consists of."""
    options = {"cohort": cohort, "examples": cohort, **options}
    return report.write_report(one, folder, **options).read_text(encoding="utf-8")


def words(text):
    """The page's visible text."""
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", text).replace("&#39;", "'")


def test_any_number_of_classes_of_any_name_make_a_report(tmp_path):
    long = "Astrocytoma, IDH-mutant, CNS WHO grade 4 with necrosis " * 2
    cohort = make_cohort(("$x^$", long, *"bcdefghijk", "l{"), 26)
    text = words(write(tmp_path, cohort, audit_of(cohort)))
    assert all(name.strip() in text for name in cohort.classes)
    assert "cannot be told: a class has tumors of 1 patients, 10 are needed" in text


def test_files_of_a_readers_own_stay_and_the_json_has_null_for_what_is_not_known(tmp_path):
    for name in ("rows_of_last_year.csv", "rows2.csv"):
        (tmp_path / name).touch()
    cohort = make_cohort(("a", "b"), 4)  # of one patient a class: no interval
    write(tmp_path, cohort, audit_of(cohort))
    assert {path.name for path in tmp_path.glob("rows*")} == {"rows.csv", "rows_of_last_year.csv"}
    told = json.loads((tmp_path / "audit.json").read_text(), parse_constant=pytest.fail)[0]
    assert told["effect"][1] is None and told["null"][0] == 10


def test_the_page_begins_with_the_shares_and_the_verdict(tmp_path):
    cohort = foreign.cohort(180)
    one = audit_of(cohort, foreign.tumor_reader)
    text = words(write(tmp_path, cohort, one, examples=None))
    rows = one.rows.assign(given=one.rows[["p_a", "p_b", "p_c"]].to_numpy().argmax(axis=1))
    before = rows[rows["edit"] == "original"].set_index("slice_id")["given"]
    is_same = (rows["given"] == rows["slice_id"].map(before)) * 1.0
    share = is_same.groupby([rows["slice_id"], rows["edit"]]).mean().unstack()
    share = share.dropna(subset="sham").mean()
    first = (
        f"{share['remove']:.0%} of the slices keep their answer without their tumor "
        f"({share['sham']:.0%} with a sham of the same shape)"
    )
    assert text.partition(first)[0].split() == 2 * report.TITLE.split()  # of window and page
    effect = report.interval(one.verdict.numbers["effect"])
    assert "The decision leans on the tumor: more than by chance" in text
    assert f"The effect, in log-odds, is {effect}." in text


def test_a_classifier_that_ignores_the_tumor_is_told_so(tmp_path):
    cohort = make_cohort(("a", "b"), 40)
    for image, label in zip(cohort.slices, cohort.labels, strict=True):
        image[0, 0] = -1.5 + label  # a mark that no edit touches

    def by_mark(slices):
        p = np.where(slices[:, 0, 0] > -1, 0.9, 0.1)
        return np.stack([1 - p, p], axis=1)

    text = words(write(tmp_path, None, audit_of(cohort, by_mark), examples=None))
    assert "The decision does not lean on the tumor" in text
    # all are right, of 20 patients: no less than what all of them are in 1 of 40 cases
    assert f"Accuracy 1.00 [{0.025 ** (1 / 20):.2f}, 1.00]" in text
    assert f" 1.00 [{0.025 ** (1 / 10):.2f}, 1.00]" in text  # of a class
    assert "Effect (in probability): 0.00." in text  # no fall differs from another
    assert "[1.00, 1.00]" not in text and "[0.00, 0.00]" not in text
    _, said = page.looks(cohort, by_mark)
    assert "0% come from squares that hold tumor" in said and "100% from outside it" in said


def test_the_page_is_one_file_without_anything_from_outside(written):
    targets = re.findall(r'(?:src|href|srcset)="([^"]*)"', written)
    assert len(targets) >= 2
    assert all(target.startswith("data:image/png;base64,") for target in targets)
    assert "url(" not in written and "@import" not in written
    assert len(written) < 1_500_000
    assert "empty mask" in written  # why edits were not made


def test_what_users_wrote_is_escaped_and_slices_are_shown_only_if_wanted(tmp_path, written):
    script = "<script>alert(1)</script>"
    cohort = make_cohort((script, "b"), 4)
    one = audit_of(cohort)
    one.name, one.warnings, one.about = script, [script], {"command": script}
    other = write(tmp_path, cohort, one, title="A < B & C", notes=[script], examples=None)
    assert "<title>A &lt; B &amp; C</title>" in other
    assert "&lt;b&gt;not&lt;/b&gt;" in other
    assert "<script" not in other and other.count("&lt;script&gt;") > 5
    shown = "What the classifier was shown"
    assert shown in written and shown not in other


def test_every_infill_and_dilation_has_its_net_drop_and_the_headline_is_that_of_the_table(audited):
    cohort, one = audited
    table = report.controls(one).set_index(["infill", "dilation (px)"])["Net-Drop"]
    assert list(table.index) == [("Navier-Stokes", 0), ("Telea", 0), ("Navier-Stokes", 2)]
    means = report.score_table(one).set_index(["group", "score"])["effect"]
    p = one.rows[one.rows["label"] == "a"].groupby(["infill", "dilation_px", "edit"])["p_a"].mean()
    for (infill, dilation), shown in table.items():
        own = p[infill.lower().replace("-", "_"), dilation]
        net_drop = own["sham"] - own["remove"]  # the original cancels
        assert float(shown.split()[0]) == pytest.approx(net_drop, abs=0.005)
    own = p["navier_stokes", 0]
    assert means["a", "net_drop"] == pytest.approx(own["sham"] - own["remove"])


def test_a_slice_without_a_sham_counts_in_none_of_the_three_drops(audited):
    rows = audited[1].rows
    without = (rows["edit"] == "sham") & (rows["slice_id"] == rows["slice_id"].iloc[0])
    means = report.score_table(replace(audited[1], rows=rows[~without]))
    means = means.set_index(["group", "score"])["effect"]["a"]
    assert means["net_drop"] == pytest.approx(means["delta_drop"] - means["sham_drop"], abs=1e-12)
