"""README and RESULTS say what the committed tables say, and their links lead somewhere."""

import re
import shutil

import pandas as pd
import pytest

from tumorcf_lib import config, rowfiles
from tumorcf_lib.publish import sections, texts
from tumorcf_lib.tables import study

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


UNITS = ("plain", "shuffled")


def test_the_answer_reads_shares_net_drops_bands_and_sites_from_the_tables(folder):
    groups = ["meningioma", "glioma", "pituitary", "glioma, MR...", "glioma, other IDs"]
    called = {"original": 80, "remove": 30, "sham": 70, "background": 20}
    share = [
        {"network": "plain", "group": group, "edit": edit, "share": (value + k) / 100}
        for k, group in enumerate(groups)
        for edit, value in called.items()
    ]
    same = {"network": "plain", "score": "net_drop", "low": -0.5, "high": 0.5}
    same |= {"null_low": -0.04, "null_high": 0.05}
    net = [{"group": group, "effect": k / 10, **same} for k, group in enumerate(groups, 1)]
    right = {"networks": "one network", "training_seed": "0", "metric": "accuracy"}
    right = [right | {"level": k, "value": v} for k, v in (("slice", 0.92), ("person", 0.9))]
    units = [{"network": n, "training_seed": 0, "fold": k} for n in UNITS for k in range(5)]
    made = {"still_right": share, "estimates": net, "performance": right, "folds": units}
    for name, rows in made.items():
        rowfiles.write_table(pd.DataFrame(rows), folder / f"table_{name}.csv")
    (folder / "table_never_shown.csv").unlink()
    moved = rowfiles.read_table(folder / "table_transplants.csv").query("network == 'plain'")
    rowfiles.write_table(moved, folder / "table_transplants.csv")
    performance, first, second, third = sections.sentences("answer")[:4]
    assert "right on 92% of the slices and 90% of the patients" in performance
    assert "called right: meningioma 80%, 30% and 70%; glioma 81%, 31% and 71%; pitu" in first
    assert "glioma 0.200 [-0.500, 0.500]" in second and "over 5 networks (1 training of" in second
    assert (
        "nothing (their labels were shuffled among patients; 5 of them, 1 shuffle): mening"
        in second
    )
    assert "Of their slices 83% are called right, of the other glioma" in third
    assert "slices 84%;" in third and third.endswith("23% and 24%.")
    shown = {"network": "never", "score": "right_original", "group": groups[-2:]}
    shown |= {"never_shown": [0.6, 0.7], "plain": [0.9, 0.8]}
    rowfiles.write_table(pd.DataFrame(shown), folder / "table_never_shown.csv")
    third = sections.sentences("answer")[3]
    assert "right on 60% and 70% of" in third
    assert third.endswith("the same training with them, on 90% and 80%.")


def test_the_answer_says_whose_class_a_transplant_brings(folder):
    shares = {"tumor": 0.25, "tumor_low": 0.2, "tumor_high": 0.3}
    shares |= {"head": 0.6, "head_low": 0.5, "head_high": 0.7}
    same = {"network": "plain", "donor": "all", "host": "all", **shares}
    rows = [{"kind": kind, **same} for kind in ("conflict", "control")]
    rowfiles.write_table(pd.DataFrame(rows), folder / "table_transplants.csv")
    *_, told = sections.sentences("answer")
    assert "the head's class in 60% [50%, 70%], the tumor's in 25% [20%, 30%]" in told


def test_the_answer_in_short_goes_by_the_verdicts_of_the_first_finding(folder):
    table = rowfiles.read_table(folder / "table_primary.csv")
    of_removal = (table["network"] == "plain") & (table["finding"] == 1)
    most = "at most {:z.2f}, {:z.2f} and {:z.2f} (95".format(*table.loc[of_removal, "high"])
    for verdicts, told in (
        (
            ["holds", "cannot be told", "holds"],
            "the probability of meningioma and pituitary, and by more than in networks that",
        ),
        (
            ["holds", "does not hold", "does not hold"],
            "Painting it out does not lower that of glioma and pituitary.",
        ),
        (
            ["cannot be told"] * 3,
            f"For meningioma, glioma and pituitary the probability falls by {most}",
        ),
    ):
        table.loc[of_removal, "verdict"] = verdicts
        rowfiles.write_table(table, folder / "table_primary.csv")
        assert told in " ".join(sections.sentences("short"))


def test_a_network_that_was_taught_to_look_is_told_by_patients_and_with_what_got_worse(folder):
    *_, told = sections.sentences("answer")
    net, called, moved = (
        rowfiles.read_table(folder / f"table_{name}.csv").query("network == 'looking'")
        for name in ("estimates", "still_right", "transplants")
    )
    net = net[net["score"] == "net_drop"].set_index("group")["effect"]
    absent = called.pivot(index="group", columns="edit", values="no_tumor")
    moved = moved[(moved["kind"] == "control") & (moved["donor"] == "all")]["tumor"].item()
    assert f"meningioma {net['meningioma']:.2f}, glioma {net['glioma']:.2f}" in told
    assert f"{absent['original']['pituitary']:.0%} of the slices as they are" in told
    assert f"and {absent['sham']['pituitary']:.0%} after a sham" in told
    (more,) = sections.sentences("looking")
    assert f"moved within its own head keeps its class in {moved:.0%} (plain: " in more


def test_the_findings_have_six_rows_and_the_verdicts_of_the_claims(folder):
    told = [(1, "meningioma", "holds"), (1, "glioma", "cannot be told"), (2, "glioma", "holds")]
    told += [(3, "all", "does not hold"), *((k, "all", "holds") for k in (4, 5, 6))]
    claims = pd.DataFrame(told, columns=["finding", "group", "verdict"])
    numbers = {"effect": 0.1, "low": 0.0, "high": 0.2, "null_low": -0.1, "null_high": 0.1}
    claims = claims.assign(score="s", reason="", p_holm=0.01, network="plain", n_seeds=1, **numbers)
    claims["claim"] = [f"claim {k}" for k in range(7)]
    claims["verdict_strict"] = claims["verdict"]
    others = claims.assign(network="looking", verdict="fails")  # not in the answer
    claims = pd.concat([claims, others])
    rowfiles.write_table(claims, folder / "table_primary.csv")
    lines = sections.part("findings").splitlines()
    assert len(lines) == 8
    assert "meningioma 0.100 [0.000, 0.200], glioma 0.100" in lines[2]
    assert "holds: meningioma; cannot be told: glioma" in lines[2]
    assert "| does not hold |" in lines[4]
    told = texts.results()
    assert told.count("| -0.100 to 0.100 | 0.01 |") == 7
    assert "| claim | plain | looking |" in told
    assert "| claim 0 | 0.100 [0.000, 0.200]: holds | 0.100 [0.000, 0.200]: fails |" in told


def test_the_verdict_by_predicted_masks_is_read_from_the_band_of_each_class(folder):
    table = rowfiles.read_table(folder / "table_predicted_masks.csv")
    net = table["score"] == "net_drop"
    for group, by in (("meningioma", (0.4, 0.3)), ("glioma", (0.01, -0.3)), ("pituitary", (0, 0))):
        table.loc[net & (table["group"] == group), ["with_true", "with_predicted"]] = by
    table.loc[~net & (table["group"] == "glioma"), ["with_true", "with_predicted"]] = 0.123, 0.321
    rowfiles.write_table(table, folder / "table_predicted_masks.csv")
    estimates = rowfiles.read_table(folder / "table_estimates.csv")
    estimates[["null_low", "null_high"]] = -0.1, 0.2
    rowfiles.write_table(estimates, folder / "table_estimates.csv")
    told = sections.part("predicted_masks")
    assert "| 0.123 / 0.321 | 0.010 / -0.300 |" in told
    assert "meningioma by true and predicted masks (-0.100 to 0.200); glioma by predicted" in told
    assert "glioma by predicted masks (-0.100 to 0.200); pituitary by neither (-0.1" in told
    results = " ".join(texts.results().split())
    assert "follow its masks (one seed, every patient counting the same)" in results


def test_speeds_are_those_of_the_committed_benchmarks():
    found = pd.read_csv(config.ROOT / "benchmarks" / "results.csv")
    told = texts.speed()
    for benchmark, case in texts.SPEEDS:
        named = (found["case"] == case) | found["case"].str.startswith(f"{case}:")
        own = found[(found["benchmark"] == benchmark) & named]
        assert len(own)
        assert all(f"{float(f'{ratio:.2g}'):.10g}" in told for ratio in own["ratio"])
