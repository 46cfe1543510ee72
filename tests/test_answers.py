"""What the tables say in words is what they say in numbers."""

import pandas as pd
import pytest
from test_findings import make_scores, run

from tumorcf_lib.stats import answers


def claim(**own):
    return {
        "finding": 1, "form": "net", "kind": "mean", "group": "glioma", "quantity": "Net-Drop",
        "effect": 0.3, "low": 0.2, "high": 0.4, "n_persons": 40, "verdict": "supported",
        "relevance": "", "note": "", **own,
    }  # fmt: skip


def sites(mr=(0.01, 0.0, 0.02), others=(0.2, 0.1, 0.3), gap=(-0.19, -0.3, -0.1), slices="correct"):
    rows = []
    for site, (effect, low, high) in (
        ("MR...", mr), ("others", others), ("MR... less others", gap)
    ):
        rows.append({"slices": slices, "score": "net_drop", "group": "glioma", "site": site,
                     "effect": effect, "low": low, "high": high, "n_persons": 12})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    return run(make_scores())


def test_overview_counts_every_claim_once(table):
    wide = answers.overview(table)
    counts = [int(n) for cell in wide.to_numpy().ravel() if cell for n in cell.split(" / ")]
    assert sum(counts) == len(table)
    assert wide.loc[5, "log-odds"] == ""


def test_a_negligible_claim_is_neither_supported_nor_refuted_whatever_its_sign():
    rows = [claim(), claim(relevance="negligible"), claim(verdict="refuted"),
            claim(verdict="refuted", relevance="negligible"), claim(verdict="undecided")]
    assert answers.outcomes(pd.DataFrame(rows)).tolist() == [
        "supported", "negligible", "refuted", "negligible", "undecided"]
    assert answers.overview(pd.DataFrame(rows)).loc[1, "net"] == "1 / 2 / 1 / 1"


@pytest.mark.parametrize("verdict, relevance, words", [
    ("supported", "", "taking the tumor out lowers the probability (Net-Drop"),
    ("supported", "negligible", "lowers the probability by less than 0.05 on average (Net-Drop"),
    ("refuted", "", "does not lower the probability: it rises (Net-Drop"),
    ("refuted", "negligible", "it rises, by less than 0.05 on average (Net-Drop"),
    ("undecided", "negligible", "moves the probability by less than 0.05 on average, in neither"),
    ("undecided", "", "undecided whether taking the tumor out lowers the probability (Net-Drop"),
])  # fmt: skip
def test_a_class_is_told_by_verdict_and_relevance(verdict, relevance, words):
    told = answers.by_class(pd.DataFrame([claim(verdict=verdict, relevance=relevance)]))
    assert words in told["glioma"]
    assert told["glioma"].endswith("(Net-Drop 0.300 [0.200, 0.400], 40 persons)")


def test_a_mean_over_unlike_sites_is_told_site_by_site():
    told = answers.by_class(pd.DataFrame([claim()]), sites())["glioma"]
    assert told.endswith(
        "but that is a mean over unlike sites: IDs `MR...` 0.010 [0.000, 0.020], 12 persons, "
        "all other IDs 0.200 [0.100, 0.300], 12 persons")


@pytest.mark.parametrize("others", [
    sites(gap=(-0.1, -0.3, 0.1)), sites(slices="all"), None,
    sites(gap=(float("nan"),) * 3),
])
def test_sites_that_may_be_alike_or_are_unknown_are_not_told(others):
    told = answers.by_class(pd.DataFrame([claim()]), others)["glioma"]
    assert "sites" not in told


def test_every_finding_has_a_sentence_with_its_effects_and_outcomes(table):
    told = answers.by_finding(table)
    assert sorted(told) == [1, 2, 3, 4, 5, 6]
    with_outcomes = table.assign(outcome=answers.outcomes(table))
    net = with_outcomes.query("finding == 1 and form == 'net' and kind == 'mean'")
    for row in net[net["group"] != "all"].itertuples():
        assert f"{row.group} {row.effect:.3f} [{row.low:.3f}, {row.high:.3f}]" in told[1]
        assert f"**{row.outcome}** for" in told[1]
    assert "largest cell" in told[5]
    assert "nan" not in " ".join(told.values())


@pytest.mark.parametrize("verdicts, words", [
    (["supported"] * 4, "holds against both"),
    (["supported"] * 3 + ["undecided"], "holds against one only"),
    (["refuted", "supported"] * 2, "holds against neither"),
])
def test_consistent_needs_a_larger_mean_and_a_smaller_spread(verdicts, words):
    halves = [(f"pituitary - {other}", kind) for other in ("meningioma", "glioma")
              for kind in ("difference", "spread")]
    rows = [claim(finding=4, group=group, kind=kind, verdict=verdict)
            for (group, kind), verdict in zip(halves, verdicts, strict=True)]
    assert f"**{words}**" in answers.by_finding(pd.DataFrame(rows))[4]
