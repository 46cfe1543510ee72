"""Claims about the report: complete, self-contained, and right for any classes."""

import html.parser
import re

import numpy as np
import pandas as pd
import pytest

from tumorcf_lib.data.cohort import Cohort
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.publish import html_page
from tumorcf_lib.your_model import report

TUMOR = (slice(12, 19), slice(20, 27))
N_RESAMPLES = 100


def make_cohort(classes, n_persons):
    """Noisy round heads, one slice a person; slices of "none" have no tumor."""
    rng = np.random.default_rng(0)
    n = len(classes) * n_persons
    y, x = np.mgrid[:48, :48]
    inside = np.hypot(y - 24, x - 24) < 21
    slices = np.where(inside, 1 + rng.normal(0, 0.1, (n, 48, 48)), -1.5).astype(np.float32)
    masks = np.zeros((n, 48, 48), bool)
    labels = np.arange(n) % len(classes)
    with_tumor = np.array([classes[label] != "none" for label in labels])
    masks[with_tumor, *TUMOR] = True
    slices[masks] += 2 + labels.repeat(49)[with_tumor.repeat(49)]  # a class, a brightness
    ids = [f"P<{i}>" for i in range(n)]
    table = pd.DataFrame({"slice_id": ids, "patient_id": ids, "person_id": ids, "label": labels})
    return Cohort("toy", slices, masks, table, tuple(classes), "Drawn, <b>not</b> seen.")


def reader(cohort):
    """Tells classes by the brightness in the tumor's place; "none" by its being dark."""
    classes = cohort.classes
    levels = np.array([1 if name == "none" else 3 + k for k, name in enumerate(classes)])

    def predict(slices):
        gap = slices[:, *TUMOR].mean(axis=(1, 2))[:, None] - levels
        p = np.exp(-(gap**2))
        return p / p.sum(axis=1, keepdims=True)

    return predict


@pytest.fixture(scope="module")
def audited():
    """A cohort of two classes, one without tumors, and its rows with further edits."""
    cohort = make_cohort(("a", "none"), 3)
    edits = (*plan.HEADLINE_EDITS, *plan.control_edits(["telea"], [2], 512, 1))
    return cohort, audit.audit(reader(cohort), cohort, edits=edits, n_places=2)


@pytest.fixture(scope="module")
def page(audited, tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), *audited)


def write(folder, cohort, rows, **options):
    """The text of the page that a report consists of."""
    options = {"cohort": cohort, "n_resamples": N_RESAMPLES, **options}
    return report.write_report(rows, folder, **options).read_text(encoding="utf-8")


def audit_of(classes, n_persons):
    cohort = make_cohort(classes, n_persons)
    return cohort, audit.audit(reader(cohort), cohort, n_places=2)


def words(page):
    """The page's visible text."""
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", page).replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("classes", "n_persons"),
    [(("tumor", "none"), 1), (("glioma", "meningioma", "pituitary", "none"), 2),
     (tuple("abcdefgh"), 1)], ids=["two classes", "four", "eight"],
)  # fmt: skip
def test_any_number_of_classes_and_few_persons_make_a_report(tmp_path, classes, n_persons):
    text = words(write(tmp_path, *audit_of(classes, n_persons), n_resamples=20))
    for name in classes:
        assert f"{name}: {n_persons} slices of {n_persons} persons" in text
    assert "10 needed" in text  # few persons: undecided is said
    assert ": the decision leans on the tumor" not in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html", "rows.csv", "table_scores.csv", "table_findings.csv", "table_edits.csv"
    }  # fmt: skip


def test_a_network_that_reads_the_tumor_is_told_so_with_enough_persons(tmp_path):
    text = words(write(tmp_path, *audit_of(("dim", "bright", "none"), 12)))
    assert "All slices: the decision leans on the tumor. Net-Drop +0." in text
    assert "none: none of its 12 slices has a tumor that could be taken out" in text
    assert "Accuracy on the slices as they are: 100%" in text


def test_a_network_that_ignores_the_tumor_is_told_so(tmp_path):
    cohort = make_cohort(("a", "b"), 12)
    rows = audit.audit(lambda s: np.tile([0.6, 0.4], (len(s), 1)), cohort, n_places=2)
    text = words(write(tmp_path, None, rows))
    assert "a: taking the tumor out moves the probability by less than 0.05 (negligible)" in text


class Links(html.parser.HTMLParser):
    """Everything a page would load or link to, and whether its tags are balanced."""

    def __init__(self):
        super().__init__()
        self.targets, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.targets += [value for key, value in attrs if key in ("src", "href", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_one_file_without_anything_from_outside(page):
    links = Links()
    links.feed(page)
    assert links.open == []
    assert len(links.targets) >= 4
    assert all(target.startswith("data:image/png;base64,") for target in links.targets)
    assert "<script" not in page and "url(" not in page and "@import" not in page
    assert 'name="viewport"' in page and "@media print" in page
    assert len(page) < 1_500_000


def test_what_users_wrote_is_escaped_and_slices_are_shown_only_if_wanted(audited, page, tmp_path):
    other = write(tmp_path, *audited, title="A < B & C", notes=["<script>alert(1)</script>"],
                  show_slices=False)  # fmt: skip
    assert "<title>A &lt; B &amp; C</title>" in other
    assert "&lt;b&gt;not&lt;/b&gt;" in other
    assert "<script" not in other
    assert "What the classifier was shown" in page
    assert "What the classifier was shown" not in other
    assert page.count("<img") == other.count("<img") + 1


def test_a_figure_says_what_it_shows_and_keeps_a_width_that_a_phone_can_scroll(page):
    widths = re.findall(r'<figure class="plot" style="--natural: (\d+)px"><img alt="[^"]+"', page)
    assert len(widths) == page.count("<img") > 3
    assert all(400 < int(width) < 3000 for width in widths)
    assert ".plot img { min-width: min(var(--natural), 640px); }" in page


def test_equal_rows_give_equal_pages(audited, page, tmp_path):
    assert write(tmp_path, *audited) == page


def test_edits_not_made_are_counted_with_their_reasons(audited, page):
    table = report.edit_table(audited[1])
    table = table[(table["dilation_px"] == 0) & (table["infill"] != "telea")]
    table = table.set_index(["edit", "label"])
    assert table.loc[("remove", "none"), ["made", "not_made"]].tolist() == [0, 3]
    assert table.loc[("remove", "none"), "reasons"] == "empty mask (3)"
    assert table.loc[("sham", "a"), ["made", "not_made"]].tolist() == [3 * 2, 0]
    assert "empty mask (3)" in words(page)


def test_other_infills_and_dilations_get_their_own_net_drop(audited, page):
    rows = audited[1]
    table = report.control_table(rows, ["a", "none"], n_resamples=10)
    assert set(zip(table["infill"], table["dilation_px"], strict=True)) == {
        ("navier_stokes", 0), ("telea", 0), ("navier_stokes", 2),
    }  # fmt: skip
    telea = rows[(rows["infill"] == "telea") & (rows["label"] == "a")]
    p = telea.groupby(["slice_id", "edit"])["p_a"].mean().unstack()
    mean = (p["sham"] - p["remove"]).mean()  # Net-Drop: the original cancels
    row = table[(table["infill"] == "telea") & (table["group"] == "a")].iloc[0]
    assert row["effect"] == pytest.approx(mean)
    assert "Other infills, other dilations" in page


def test_claims_about_classes_that_are_not_there_are_left_out():
    cohort = make_cohort(("glioma", "b"), 2)
    rows = audit.audit(reader(cohort), cohort, n_places=1)
    scores = report.metrics.slice_scores(rows)
    found = set(report.claim_table(scores, ["glioma", "b"], n_resamples=10)["finding"])
    assert found == {1, 2, 3, 6}


def test_accuracy_and_recall_stand_in_the_score_table():
    ids = [f"P{i}" for i in range(4)]
    scores = pd.DataFrame({"label": list("aaab"), "person_id": ids, "flipped": [True] * 4,
                           "correct": [True, True, False, True]})  # fmt: skip
    table = report.score_table(scores, ["a", "b"], n_resamples=10)
    correct = table[table["score"] == "correct"].set_index("group")["effect"]
    assert correct.round(3).to_dict() == {"all": 0.75, "a": 0.667, "b": 1.0}


def test_outputs_in_another_order_than_the_classes_are_noticed():
    cohort = make_cohort(("x", "y", "z"), 4)
    predict = reader(cohort)
    # The first output is the probability of y, the second of z, the third of x.
    edits = plan.HEADLINE_EDITS[:1]
    rows = audit.audit(lambda s: predict(s)[:, [1, 2, 0]], cohort, edits=edits)
    said = report.better_order(report.metrics.slice_scores(rows), ["x", "y", "z"])
    assert "read as x, y, z it names 0% of the slices correctly" in said
    assert "read as y, z, x it would be 100%" in said
    rows = audit.audit(predict, cohort, edits=edits)
    assert report.better_order(report.metrics.slice_scores(rows), ["x", "y", "z"]) == ""


def test_no_rows_make_no_report(tmp_path):
    with pytest.raises(report.ReportError, match="at least one slice"):
        report.write_report(pd.DataFrame(), tmp_path)


def test_numbers_are_right_aligned_with_three_decimals_and_missing_ones_empty():
    table = html_page.table(pd.DataFrame({"n": [1, 2], "x": [0.12345, np.nan]}))
    assert '<td class="number">0.123</td>' in table
    assert '<td class="number">2</td><td class="number"></td>' in table
