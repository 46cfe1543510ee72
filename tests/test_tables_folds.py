"""Tables of the folds: the primary claims, what no default class can fool, sites, and maps."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats import nulls
from tumorcf_lib.tables import folds, primary, saliency, sites, symmetric
from tumorcf_lib.tables.fold_scores import WITHOUT_MR

FOLDS, PATIENTS, SLICES = 5, 6, 3


def scores(rng, *, network="plain", seeds=2, net=0.0, shift=0.05):
    """Scores of each class's patients. With other names of the answers, those of networks that know
    nothing sum to 0, as drops do."""
    at = list(np.ndindex(FOLDS, len(CLASSES), PATIENTS, SLICES))
    own = pd.DataFrame(at, columns=["fold", "label", "who", "k"])
    true, is_hard = own["label"].to_numpy(), rng.random(len(own)) < 0.2  # alike for all seeds
    own["label"], names = np.array(CLASSES)[true], np.array(CLASSES)
    own["person_id"] = own["label"] + own["fold"].astype(str) + "-" + own["who"].astype(str)
    own["slice_id"] = own["person_id"] + "-" + own["k"].astype(str)
    own = own.assign(predicted=np.where(is_hard, names[(true + 1) % 3], names[true]))
    right = {f"right_{edit}": (~is_hard).astype(float) for edit in primary.EDITS}
    own = own.assign(correct=~is_hard, network=network, p_orig=0.6 + 0.1 * own["k"], **right)
    parts, n_namings = [], 3 if network == "shuffled" else 1
    for seed in range(seeds):
        moved = rng.normal(0, shift, (n_namings, FOLDS, len(CLASSES)))[:, own["fold"], true]
        moved += rng.normal(0, 0.05, (n_namings, len(own)))
        moved -= moved.mean(axis=0) * (n_namings > 1)
        for naming, drop in enumerate(net + moved):
            drops = dict.fromkeys(primary.SCORES, drop)
            parts.append(own.assign(training_seed=seed, naming=naming, **drops))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(0)
    return pd.concat([scores(rng, net=0.4), scores(rng, network="shuffled")])


def test_networks_that_know_nothing_hold_no_claim_of_their_own():
    rng, earned, n = np.random.default_rng(1), 0, 30
    for k in range(n):
        rows = pd.concat([scores(rng, seeds=1 + k % 2), scores(rng, network="shuffled")])
        table = primary.primary_table(rows)
        earned += (table.loc[table["finding"] != 5, "verdict"] != nulls.OPEN).sum()
    assert earned / (10 * n) <= 0.05  # with one seed, nothing is told of finding 3


@pytest.mark.parametrize(("n_shuffles", "are_enough"), [(2, False), (8, True)])
def test_by_the_names_as_dealt_alone_two_shuffles_carry_fewer_claims(n_shuffles, are_enough):
    rng = np.random.default_rng(1)
    nothing = scores(rng, network="shuffled", seeds=n_shuffles)
    plain = scores(rng, net=0.1 if n_shuffles == 2 else 0.15)
    found = primary.primary_table(pd.concat([plain, nothing])).query("finding == 1")
    assert set(found["verdict"]) == {nulls.HOLDS}
    assert (set(found["verdict_as_dealt"]) == {nulls.HOLDS}) == are_enough


def test_by_one_training_seed_nothing_is_told_of_slices_called_wrong(both):
    rows = primary.primary_table(both[both["training_seed"] == 0]).query("finding == 3")
    assert set(rows["verdict"]) == {nulls.OPEN} and set(rows["reason"]) == {"one training seed"}


def test_a_seeds_slices_are_judged_by_the_next_seed_and_by_none_where_it_is_alone(both):
    right = both.assign(correct=both["training_seed"] == 1)
    for seed in (0, 1):
        judged = folds._judged(right, right[right["training_seed"] == seed])
        assert len(judged) == right["slice_id"].nunique() and (judged == (seed == 0)).all()
    alone = right[right["training_seed"] == 0]
    assert len(folds._judged(alone, alone)) == 0


P = [f"p_{name}" for name in CLASSES]


def asked(p_of):
    """Two patients a class with 6 slices each; p_of(label, edit) gives the first class's p."""
    keys = itertools.product(CLASSES, "ab", range(6), ("original", "sham", "remove"))
    rows = pd.DataFrame(keys, columns=["label", "who", "k", "edit"])
    rows["person_id"] = rows["label"] + rows["who"]
    rows["slice_id"] = rows["person_id"] + rows["k"].astype(str)
    p = np.array([p_of(*own) for own in zip(rows["label"], rows["edit"])])
    rows[P] = np.stack([p, 1 - p, 0 * p], axis=1)
    about = {"network": "plain", "training_seed": 0, "fold": 0, "naming": 0}
    return rows.assign(infill="", dilation_px=0, **about)


def find(table, group, whose):
    return table.set_index(["patients", "group", "whose"]).loc["all", group, whose]


def test_a_class_named_by_default_loses_ranking_if_its_tumors_tell_it_apart():
    first = CLASSES[0]  # every empty slice is called so: no Net-Drop
    rows = asked(lambda label, edit: 0.9 if label == first or edit == "remove" else 0.2)
    table = symmetric.auc_table(rows)
    assert find(table, first, "own")["loss"] == 0
    assert find(table, first, "others'")["loss"] == pytest.approx(0.5)  # ties count half
    assert find(table, first, "all")["auc"] == pytest.approx(1)


def test_auc_is_that_of_a_loop_over_pairs_in_which_every_patient_counts_the_same():
    rng = np.random.default_rng(0)
    rows = asked(lambda *_: round(rng.random(), 1))
    rows = rows[~rows["slice_id"].isin([f"{CLASSES[0]}a{k}" for k in range(1, 6)])]
    got = find(symmetric.auc_table(rows), CLASSES[0], "own")
    of = {key: p.to_numpy() for key, p in rows.groupby(["person_id", "edit"])[P[0]]}
    people = [[f"{name}{who}" for who in "ab"] for name in CLASSES]

    def auc(a, b, edit):
        return np.mean([(p > q) + (p == q) / 2 for p in of[a, edit] for q in of[b, "original"]])

    pairs = [[(a, b) for b in people[1] + people[2]] for a in people[0]]
    losses = np.array([[auc(*ab, "sham") - auc(*ab, "remove") for ab in row] for row in pairs])
    error = np.sqrt(losses.mean(axis=1).var(ddof=1) / 2 + losses.mean(axis=0).var(ddof=1) / 4)
    ends = losses.mean() + scipy.stats.t.ppf([0.025, 0.975], df=1) * error  # of two patients
    unedited = [auc(*ab, "original") for row in pairs for ab in row]
    assert got["auc"] == pytest.approx(np.mean(unedited))
    assert (got["loss"], got["low"], got["high"]) == pytest.approx((losses.mean(), *ends))


def test_an_interval_has_no_fewer_degrees_of_freedom_than_the_part_that_has_fewest():
    folds = {"n_pairs": 4, "n_patients": 4, "variance": 1e-6, "by_chance": 0.0, "auc": 0.9}
    folds = pd.DataFrame([folds | {"losses": np.zeros(1)}] * 2)
    null = nulls.Null(0.0, 0.1, 2, 4, network_sd=0.1, network_df=3)
    found = symmetric._pooled(folds, null)
    error = np.sqrt((1e-6 + 1e-2) / 2)
    assert found["high"] == pytest.approx(scipy.stats.t.ppf(0.975, df=3) * error, rel=1e-3)


def transplants(called):
    """One host a class and donor class, two patients each, called by a rule."""
    rows = []
    for host, donor, who in itertools.product(CLASSES, CLASSES, "ab"):
        donor_id = f"{host}{who}" if host == donor else f"{donor}x"
        about = {"slice_id": f"{host}{who}", "person_id": f"{host}{who}", "label": host}
        about |= {"donor_slice_id": donor_id, "donor_label": donor, "reason": ""}
        about |= {"depth_px": 5.0 + 10 * (donor == "pituitary"), "donor_depth_px": 6.0}
        rows.append(about | dict.fromkeys(P, 0.1) | {f"p_{called(host, donor)}": 0.8})
    return pd.DataFrame(rows).assign(network="plain", training_seed=0, fold=0)


def test_who_reads_tumors_follows_them_and_who_reads_heads_follows_heads():
    for cue in ("tumor", "head"):
        rows = transplants(lambda host, donor, cue=cue: donor if cue == "tumor" else host)
        table = symmetric.transplants_table(rows).set_index("kind")
        conflict, control = table.loc["conflict"], table.loc["control"]
        assert (conflict["tumor"] == (cue == "tumor")).all()
        assert (conflict["head"] == (cue == "head")).all()
        assert (control["tumor"] == 1).all() and control["head"].isna().all()
        gaps = conflict.groupby("donor")["depth_gap_px"].first()
        assert gaps[["glioma", "pituitary"]].tolist() == [1, 9]
    rows.loc[rows["donor_label"] == "glioma", "reason"] = "the tumor fits nowhere in this head"
    table = symmetric.transplants_table(pd.concat([rows, rows.assign(network="shuffled")]))
    assert set(table["network"]) == {"plain", "shuffled"}
    assert table[table["donor"] == "glioma"]["n_patients"].eq(0).all()


def test_what_a_tumor_adds_is_beyond_what_its_head_is_called_with_nothing_set_in():
    rows = transplants(lambda host, donor: donor)
    heads = rows.drop_duplicates("slice_id").assign(edit="remove", infill="navier_stokes")
    glioma = heads.assign(dilation_px=1, p_glioma=0.9)  # painted out as for transplants
    removed = pd.concat([heads.assign(dilation_px=0), glioma, glioma.assign(network="looking")])
    table = symmetric.transplants_table(rows, removed).query("host == 'all' and kind == 'conflict'")
    table = table.set_index("donor").loc[["glioma", "pituitary", "meningioma"]]
    assert table["without"].tolist() == [1, 0, 0] and table["gain"].tolist() == [0, 1, 1]


def test_accuracy_without_the_site_of_one_class_is_told():
    rights = {("glioma", f"MR{i}"): 2 for i in range(10)}  # how many of a patient's two slices
    rights |= {("glioma", f"g{i}"): i % 2 for i in range(10)}  # 5 of 20 right
    rights |= {("pituitary", f"p{i}"): 2 if i < 9 else 0 for i in range(10)}  # 18 of 20 right
    rows = [(*who, k < n_right) for who, n_right in rights.items() for k in range(2)]
    rows = pd.DataFrame(rows, columns=["label", "person_id", "right"])
    p = np.where(rows["right"] == (rows["label"] == "glioma"), 0.9, 0.1)
    rows = rows.assign(p_glioma=p, p_pituitary=1 - p)
    table = sites.site_accuracy_table(rows, n_resamples=200).set_index(["group", "site", "metric"])
    mr = table.loc[("glioma", "MR...", "accuracy")]
    assert mr["value"] == 1 and mr["low"] == pytest.approx(0.025 ** (1 / 10))
    other = table.loc[("glioma", "others", "accuracy")]
    assert other["value"] == pytest.approx(5 / 20) and other["n_persons"] == 10
    assert table.loc[("all", "others", "accuracy"), "value"] == pytest.approx(23 / 40)
    balanced = table.loc[("all", "others", "balanced accuracy")]
    assert balanced["value"] == pytest.approx((5 / 20 + 18 / 20) / 2)
    assert ("pituitary", "others", "accuracy") not in table.index  # it has one site only


def test_a_difference_of_sites_is_adjusted_for_planes_and_tumors_and_what_is_left_is_the_sites():
    rng, slice_id, of_site = np.random.default_rng(0), np.arange(480), -0.1
    person = slice_id // 8
    is_mr, of_person = person < 30, 0.05 * rng.normal(size=60)[person]
    axial = rng.random(480) < np.where(is_mr, 0.8, 0.2)
    area = np.exp(rng.normal(6 + is_mr, 0.3))
    net_drop = of_site * is_mr + 0.2 * axial + 0.1 * np.log(area)
    net_drop += of_person + rng.normal(0, 0.02, 480)
    ids = np.where(is_mr, "MR", "") + person.astype(str).astype(object)
    scores = {"net_drop": net_drop, "label": "glioma", "person_id": ids}
    others = {"contrast": rng.normal(size=480), "depth_px": rng.normal(size=480)}
    parts = (scores, {"area_px": area, **others}, {"plane": np.where(axial, "axial", "coronal")})
    parts = [pd.DataFrame({"slice_id": slice_id, **part}) for part in parts]
    found = sites.difference_table(*parts).set_index("adjusted_for")
    assert found.loc["nothing", "effect"] > of_site + 0.15
    assert found.loc["plane", "effect"] == pytest.approx(of_site + 0.1, abs=0.05)
    assert found.loc["plane and tumor", "effect"] == pytest.approx(of_site, abs=0.04)
    low, high = found.loc["plane and tumor", ["low", "high"]]
    assert low < of_site < high


def test_a_difference_of_sites_is_one_of_patients_means_whose_sites_scatter_each_in_its_own_way():
    rng, n = np.random.default_rng(0), np.r_[np.full(12, 1), np.full(30, 4)]
    means = np.r_[rng.normal(0.3, 0.2, 12), rng.normal(0, 0.02, 30)]  # 12 of MR..., a slice each
    own = pd.DataFrame({"net_drop": np.repeat(means, n), "person_id": np.repeat(np.arange(42), n)})
    is_mr = (own["person_id"] < 12).to_numpy(float)
    found = sites._of_site(own, np.column_stack([is_mr, np.ones(len(own))]))
    parts = means[:12], means[12:]
    error2 = sum(part.var() / len(part) for part in parts) * 42 / 41 * (len(own) - 1)
    reach = scipy.stats.t.ppf(0.975, df=41) * np.sqrt(error2 / (len(own) - 2))
    effect = parts[0].mean() - parts[1].mean()
    assert list(found.values()) == pytest.approx([effect, effect - reach, effect + reach])
    assert "collinear" in sites._of_site(own, np.ones((len(own), 2)))["reason"]


def test_a_change_without_one_site_is_of_the_same_slices_and_beside_that_of_another_training():
    rng = np.random.default_rng(0)
    plain = scores(rng, net=0.1, shift=0.0)
    never = plain[plain["training_seed"] == 1].assign(network=WITHOUT_MR)
    never["net_drop"] += 0.2 * (never["label"] == "glioma") + rng.normal(0, 0.01, len(never))
    never = never.assign(right_original=1.0).sample(frac=1, random_state=0)
    table = sites.never_shown_table(pd.concat([plain, never])).set_index(["score", "group"])
    found = table.loc["net_drop", "glioma"]
    assert found["change"] == pytest.approx(0.2, abs=0.01) and found["low"] > 0.15
    assert found["null_low"] < 0 < found["null_high"] < found["low"]
    assert found["never_shown"] - found["plain"] == pytest.approx(found["change"])
    assert table.loc[("net_drop", "pituitary"), "change"] == pytest.approx(0, abs=0.01)
    right = table.loc["right_original", "all"]
    assert right["change"] == pytest.approx(1 - right["plain"]) and right["n_seeds"] == 1
    alone = sites.never_shown_table(pd.concat([plain[plain["training_seed"] == 1], never]))
    assert alone["null_low"].isna().all() and alone["low"].notna().any()


def test_a_change_between_trainings_has_their_variance_twice_by_the_folds_shares_of_the_patients():
    wide = {"fold": [0, 0, 1], "person_id": list("abc"), 0: [0.0, 0.2, 0.5], 1: [0.2, 0.4, 0.7]}
    rows = pd.DataFrame(wide).melt(["fold", "person_id"], var_name="training_seed", value_name="x")
    null = sites._trained_anew(rows, "x")  # networks' means 0.1, 0.3 and 0.5, 0.7: variance 0.02
    assert null.sd**2 == pytest.approx(2 * 0.02 * ((2 / 3) ** 2 + (1 / 3) ** 2))
    assert null.network_sd**2 / 2 == pytest.approx(null.sd**2) and null.df == 2  # no other chance


def maps_and_scores():
    """24 slices of 12 patients; maps are three times as dense on the tumor as elsewhere."""
    rng, i = np.random.default_rng(0), np.arange(24)
    rows = pd.DataFrame({"slice_id": i.astype(str), "person_id": i // 2, "fold": i // 2 % 2})
    rows = rows.assign(network="plain", training_seed=0, naming=0)
    area = rng.uniform(0.02, 0.1, 24)
    maps = {"label": "glioma", "map_tumor": 3 * area * 0.8, "map_outside": 0.2, "area_tumor": area}
    right = {"right_original": 1.0, "right_remove": 1.0 * (i % 3 > 0)}
    return rows.assign(**maps), rows.assign(net_drop=rng.normal(size=24), **right)


def of_glioma(table, slices="all"):
    return table[(table["group"] == "glioma") & (table["slices"] == slices)].iloc[0]


def test_the_density_of_maps_is_a_ratio_and_slices_without_a_map_are_left_out():
    maps, scores = maps_and_scores()
    maps.loc[:1, ["map_tumor", "map_outside"]] = np.nan
    maps.loc[2, ["map_tumor", "map_outside", "area_tumor"]] = 0, 1, 0.9  # bright in the air alone
    table = saliency.saliency_table(pd.concat([maps, maps.assign(network="shuffled")]), scores)
    found = of_glioma(table)
    assert found[["density", "low", "high"]].tolist() == pytest.approx([3, 3, 3])
    assert set(table["network"]) == {"plain"} and found["area_tumor"] < 0.1
    n = [of_glioma(table, part)["n_slices"] for part in ("all", saliency.KEEPS, saliency.LOSES)]
    assert n == [21, 14, 7]


def test_the_rank_correlation_is_that_of_the_patients_means():
    maps, scores = maps_and_scores()
    maps["map_tumor"] *= np.random.default_rng(1).uniform(0.2, 1, len(maps))
    found = of_glioma(saliency.saliency_table(maps, scores))
    density = maps["map_tumor"] / 0.8 / maps["area_tumor"]
    of_patients = (own.groupby(maps["person_id"]).mean() for own in (density, scores["net_drop"]))
    slow = scipy.stats.spearmanr(*of_patients).statistic
    assert found["spearman"] == pytest.approx(slow)
    assert found["spearman_low"] < slow < found["spearman_high"]
