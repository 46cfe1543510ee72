"""README and RESULTS say what the committed tables say, and their links lead somewhere."""

import re
import shutil

import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import sections, texts
from tumorcf_lib.stats.rows import listed
from tumorcf_lib.study import pooled
from tumorcf_lib.tables import study

CLASSES = list(config.CLASSES)

README = (config.ROOT / "README.md").read_text(encoding="utf-8")
RENEW = "run: python -m tumorcf_lib readme"


def test_the_committed_readme_and_results_are_what_the_committed_tables_say():
    assert len(README.splitlines()) <= 150
    assert texts.with_generated_parts(README) == README, RENEW
    assert (config.ROOT / "RESULTS.md").read_text(encoding="utf-8") == texts.results(), RENEW


@pytest.mark.parametrize("name", ["README.md", "RESULTS.md", "DEVELOPING.md", "CHANGELOG.md"])
def test_every_link_into_the_repository_leads_somewhere(name):
    text = (config.ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not path or (config.ROOT / path).exists(), target
        heads = re.findall(r"^#+ (.+)$", text, re.M)
        slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert path or anchor in slugs, target


def test_what_is_missing_is_said_or_refused(monkeypatch, tmp_path):
    with pytest.raises(texts.PublishError, match="0 places"):
        texts.with_generated_parts("# Title")
    monkeypatch.setattr(config, "FIGURES", tmp_path)
    assert texts.results().count(sections.MISSING) >= 12
    assert sections.part("answer") == sections.MISSING


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A copy of the published folds, to change; without their rows."""
    no_rows = shutil.ignore_patterns("rows_*", "fig_*")
    shutil.copytree(config.FIGURES / study.POOLED, tmp_path / study.POOLED, ignore=no_rows)
    monkeypatch.setattr(config, "FIGURES", tmp_path)
    return tmp_path / study.POOLED


def of(name, **keys):
    """The lines of a table of the published folds that have these values."""
    table = rowfiles.read_table(config.published(study.POOLED) / f"table_{name}.csv")
    return table[(table[list(keys)] == list(keys.values())).all(axis=1)]


def change(name, which, columns, values):
    table = of(name)
    table.loc[which(table), columns] = values
    rowfiles.write_table(table, config.published(study.POOLED) / f"table_{name}.csv")


EFFECT = "{effect:z.3f} [{low:z.3f}, {high:z.3f}]"


def test_the_numbers_of_the_answer_are_those_of_the_tables():
    right = of("still_right", network="plain").pivot(index="group", columns="edit", values="share")
    net = of("estimates", network="plain", score="net_drop").set_index("group").loc[CLASSES]
    moved = of("transplants", donor="all", host="all").set_index(["network", "kind"])
    apart = net[(net["effect"] < net["null_low"]) | (net["effect"] > net["null_high"])].index
    absent = of("still_right", network="looking").set_index(["edit", "group"])["no_tumor"]
    never = of("never_shown", score="right_original").set_index("group").loc[pooled.SITES]
    accuracy = of("performance", networks="one network", metric="accuracy")
    shares = [accuracy.loc[accuracy["level"] == k, "value"].mean() for k in ("slice", "person")]
    told = sections.sentences("answer")
    assert "{:.0%} of the slices and {:.0%} of the patients".format(*shares) in told[0]
    for name in CLASSES:
        assert "{original:.0%}, {remove:.0%} and {sham:.0%}".format_map(right.loc[name]) in told[1]
        assert f"{name} {EFFECT.format_map(net.loc[name])}" in told[2]
    assert told[2].endswith(f": {listed(apart)}.")
    mr, others = right.loc[pooled.SITES].to_dict("records")
    assert f"Of their slices {mr['original']:.0%} are called right, of the other" in told[3]
    assert f"{others['original']:.0%} (here and below every" in told[3]
    assert f"{mr['background']:.0%} and {others['background']:.0%}. Net-Drop: " in told[3]
    assert "on {:.0%} and {:.0%} of the two".format(*never["never_shown"]) in told[3]
    assert "{:.0%} and {:.0%}.".format(*never["plain"]) in told[3]
    for kind, words in (("conflict", "the tumor's in"), ("control", "keeps its class in")):
        form = words + " {tumor:.0%} [{tumor_low:.0%}, {tumor_high:.0%}]"
        assert form.format_map(moved.loc["plain", kind]) in told[4]
    for edit, words in (("original", "of the slices as they are"), ("sham", "after a sham")):
        assert f"{listed(absent[edit][CLASSES].map('{:.0%}'.format))} {words}" in told[5]
    kept = moved["tumor"].map("{:.0%}".format)
    (more,) = sections.sentences("looking")
    assert f"class in {kept['looking', 'control']} (plain: {kept['plain', 'control']})" in more


@pytest.mark.parametrize(
    "verdicts, told",
    [
        ("holds, cannot be told, holds", "of meningioma and pituitary, and by more than in netw"),
        ("holds, does not hold, does not hold", "does not lower that of glioma and pituitary."),
        ("cannot be told, cannot be told, cannot be told", "by at most {}, {} and {} more"),
    ],
)
def test_the_answer_in_short_goes_by_the_verdicts_of_the_first_finding(folder, verdicts, told):
    def of_removal(table):
        return (table["network"] == "plain") & (table["finding"] == 1)

    change("primary", of_removal, "verdict", verdicts.split(", "))
    highs = of("primary", network="plain", finding=1)["high"].map("{:z.2f}".format)
    assert told.format(*highs) in " ".join(sections.sentences("short"))


def test_the_findings_are_six_with_the_numbers_and_verdicts_of_the_claims():
    lines, results = sections.part("findings").splitlines()[2:], texts.results().splitlines()
    assert len(lines) == 6
    for k, line in enumerate(lines, 1):
        claims = of("primary", network="plain", finding=k)
        assert line.count("[") == len(claims)  # of our network alone
        for claim in claims.to_dict("records"):
            assert EFFECT.format_map(claim) in line and claim["verdict"] in line.split("|")[3]
            start = f"| {claim['claim']} | {EFFECT.format_map(claim)} | "
            (own,) = [line for line in results if line.startswith(start)]
            assert f" | {claim['verdict']}" in own


def test_the_verdict_by_predicted_masks_is_read_from_the_band_of_each_class(folder):
    for group, by in (("meningioma", (0.4, 0.3)), ("glioma", (0.01, -0.3)), ("pituitary", (0, 0))):

        def net(table, group=group):
            return (table["score"] == "net_drop") & (table["group"] == group)

        change("predicted_masks", net, ["with_true", "with_predicted"], by)
    told = sections.part("predicted_masks")
    assert "| 0.010 / -0.300 |" in told
    assert "meningioma by true and predicted masks (-" in told
    assert "glioma by predicted masks (-" in told and "pituitary by neither (-" in told


def test_speeds_are_those_of_the_committed_benchmarks():
    found = pd.read_csv(config.ROOT / "benchmarks" / "results.csv")
    told = texts.speed()
    for benchmark, case in texts.SPEEDS:
        named = (found["case"] == case) | found["case"].str.startswith(f"{case}:")
        own = found[(found["benchmark"] == benchmark) & named]
        assert len(own)
        assert all(f"{float(f'{ratio:.2g}'):.10g}" in told for ratio in own["ratio"])
