"""What the folds say together: ``figures/paper-lite-cv`` and its sentences."""

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.stats.rows import listed
from tumorcf_lib.study import side_studies
from tumorcf_lib.study.side_studies import Drawn, band, interval
from tumorcf_lib.tables import sites
from tumorcf_lib.tables.classifiers import LOOKING
from tumorcf_lib.tables.fold_scores import MR, OTHER_IDS, PLAIN, SHUFFLED, WITHOUT_MR
from tumorcf_lib.tables.folds import AVERAGED, MEAN_OF_ONE, ONE, derive, read_if_there

NAME = "paper-lite-cv"
ANSWERED = ("original", "sham", "remove", "only", "blank")
SITES = [f"glioma, {site}" for site in (MR, OTHER_IDS)]


def _reader(folder):
    return side_studies.reader(folder or config.published(NAME))


def plain(table):
    """The lines of the plain networks, whom the study's answer is about."""
    return table[table["network"] == PLAIN].drop(columns="network").reset_index(drop=True)


def answer_sentences(folder=None):
    """The study's answer in a few sentences, every number from the published tables."""
    read = _reader(folder)
    right = read("table_still_right").set_index(["network", "edit", "group"])["share"].loc[PLAIN]
    net = _net_drops(read, PLAIN)
    falls = [
        f"from {right['original', name]:.0%} to {right['remove', name]:.0%} for {name}"
        for name in CLASSES
    ]
    shams = [f"{right['sham', name]:.0%}" for name in CLASSES]
    drops = [f"{name} {interval(net.loc[name])}" for name in CLASSES]
    accuracy = read("table_performance").query("metric == 'accuracy'")
    accuracy = accuracy.set_index(["networks", "level"])["value"].groupby(level=[0, 1]).first()
    accuracy = accuracy[MEAN_OF_ONE if MEAN_OF_ONE in accuracy.index else ONE]
    n, _, trainings = _how_many(read, PLAIN, "training")
    told = [
        f"On the real slices our networks are right on {accuracy['slice']:.0%} of the slices and "
        f"{accuracy['person']:.0%} of the patients. Painting the tumor out moves the share of "
        f"slices called right {listed(falls)}; painting the same shape out elsewhere (a sham) "
        f"leaves {listed(shams)}.",
        f"The true class's probability falls by this much more than with a sham (Net-Drop): "
        f"{listed(drops)}, over {n} networks ({trainings} of each fold). "
        + _beside_nothing(read, net),
    ]
    if set(SITES) <= set(net.index):
        of_sites = [
            f"{right[edit, site]:.0%}" for edit in ("original", "background") for site in SITES
        ]
        told.append(
            f"All patients with IDs `{MR}` have a glioma, and {of_sites[0]} of their slices are "
            f"called right; of the other glioma patients' slices {of_sites[1]}. With the tumor "
            f"blacked out {of_sites[2]} and {of_sites[3]} are called right.{_never_shown(read)}"
        )
    by = read_if_there(read, "table_transplants")
    if by is None:
        return told
    by = by.set_index(["network", "kind", "donor", "host"])
    set_in, moved = (by.loc[PLAIN, kind, "all", "all"] for kind in ("conflict", "control"))
    nothing = ""
    if SHUFFLED in by.index:
        own = by.loc[SHUFFLED, "conflict", "all", "all"]
        nothing = f" (by networks that know nothing {own['head']:.0%} and {own['tumor']:.0%})"
    told.append(
        "A tumor set into the head of a patient of another class, whose own tumor is painted "
        f"out: the slice gets the head's class in {interval(set_in, 'head', '.0%')}, the tumor's "
        f"in {interval(set_in, 'tumor', '.0%')}{nothing}. An own tumor moved within its head "
        f"keeps its class in {interval(moved, 'tumor', '.0%')}."
    )
    return told + _taught(read, by["tumor"])


def _net_drops(read, network):
    table = read("table_estimates")
    return table[(table["network"] == network) & (table["score"] == "net_drop")].set_index("group")


def _never_shown(read):
    """The same of networks that were shown no patient ``MR...``, where they are published."""
    table = read_if_there(read, "table_never_shown")
    if table is None:
        return ""
    own = table.set_index(["score", "group"])["never_shown"]
    before, after = (
        " and ".join(f"{own[f'right_{edit}', site]:.0%}" for site in SITES)
        for edit in ("original", "background")
    )
    return f" Networks that were shown no such patient are right on {before}; blacked out, {after}."


def _taught(read, follows):
    """What fine-tuning to look does, where it is published: at most one sentence."""
    table = read_if_there(read, "table_networks")
    if table is None or not {LOOKING} <= set(table["network"]) & set(follows.index.levels[0]):
        return []
    right = table[(table["score"] == "accuracy") & (table["group"] == "all")]
    right = right.set_index("network")["effect"].map("{:.1%}".format)
    net = _net_drops(read, LOOKING)
    called = read("table_still_right").set_index(["network", "edit", "group"])["no_tumor"]
    drops = listed(f"{name} {net.loc[name, 'effect']:.2f}" for name in CLASSES)
    shams = [f"{called[LOOKING, 'sham', name]:.0%}" for name in CLASSES]
    follow, before, keep, kept = (
        f"{follows[network, kind, 'all', 'all']:.0%}"
        for kind in ("conflict", "control")
        for network in (LOOKING, PLAIN)
    )
    return [
        'A network can be taught to look: fine-tuned to say "no tumor" where one was painted out, '
        f"ours have a Net-Drop of {drops}, say so of {listed(shams)} after a sham, and are right "
        f"on {right[LOOKING]} of the slices (before: {right[PLAIN]}). Moved and transplanted "
        f"tumors were part of it, so that it follows a transplant in {follow} (before: {before}) "
        f"and keeps the class of a moved tumor in {keep} (before: {kept}) tests no more than that."
    ]


def _how_many(read, network, what):
    """Networks of a kind, their seeds, and these in words."""
    own = read("table_folds").query("network == @network", local_dict={"network": network})
    n = own["training_seed"].nunique()
    return len(own), n, f"{n} {what}{'s' * (n > 1)}"


def _beside_nothing(read, net):
    """Of which classes Net-Drop lies where networks that know nothing do not."""
    own = net.loc[list(CLASSES)]
    if own["null_low"].isna().any():
        return "The networks that know nothing, to be compared with, are not all trained yet."
    n, _, deals = _how_many(read, SHUFFLED, "shuffle")
    outside = (own["effect"] < own["null_low"]) | (own["effect"] > own["null_high"])
    beyond = listed(own.index[outside]) if outside.any() else "none of these"
    return (
        f"Beyond the reach of as many networks that know nothing (their labels were shuffled "
        f"among patients; {n} of them, {deals}): {beyond}."
    )


def class_sentences(folder=None):
    """What becomes of the primary claims of finding 1, class by class."""
    table = plain(_reader(folder)("table_primary"))
    return [
        f"{row['claim']}: {row['verdict']} for our network (Net-Drop {interval(row)}; networks "
        f"that know nothing {band(row)})."
        for row in table[table["finding"] == 1].to_dict("records")
    ]


def performance_sentences(folder=None):
    """How good the networks are out of fold."""
    read = _reader(folder)
    ece = read("table_reliability").groupby("kind")["ece"].first()
    table = read("table_performance")
    table["training_seed"] = pd.to_numeric(table["training_seed"])  # none of several together
    first = table["training_seed"].min()
    by = table[table["training_seed"] == first].set_index(["level", "metric"])
    slices, persons = by.loc[("slice", "accuracy")], by.loc[("person", "accuracy")]
    balanced = by.loc[("slice", "balanced accuracy")]
    row = read("table_spread").set_index("metric").loc["slice_accuracy"]
    folds = read("table_folds")
    single = folds[(folds["network"] == PLAIN) & (folds["training_seed"] == first)]
    single = single["ece_temperature"].mean()
    seeds = "one training of each, so their spread is unknown"
    if row["n_seeds"] > 1:
        seeds = f"{row['sd_training']:.3f} between trainings of one fold"
    return [
        f"Out of fold over all {int(slices['n'])} slices of {int(slices['n_persons'])} patients, "
        f"by the networks of seed {first:g}: {interval(slices)} of the slices and "
        f"{interval(persons)} of the patients are right; balanced accuracy of slices "
        f"{interval(balanced)}.",
        *_seeds_sentence(table),
        *site_sentences(read("table_accuracy_by_site"), first),
        f"Calibration error (ECE) of seed {first:g}: {ece['slices']:.3f}; after a temperature "
        f"fitted on the other folds' tested patients {ece['slices, temperature']:.3f} over all "
        f"folds together, where errors of single folds cancel, and {single:.3f} in a single "
        "fold, on average.",
        f"Single networks score from {row['lowest']:.3f} to {row['highest']:.3f} (slices): "
        f"standard deviation {row['sd_fold']:.3f} between folds, {seeds}.",
    ]


def _seeds_sentence(table):
    """What several seeds say together: at most one sentence."""
    own = table[table["metric"] == "accuracy"].set_index(["networks", "level"])
    if AVERAGED not in own.index:
        return
    mean, together = own.loc[MEAN_OF_ONE]["value"], own.loc[AVERAGED]
    yield (
        f"In the mean over {table['training_seed'].nunique()} seeds {mean['slice']:.3f} and "
        f"{mean['person']:.3f}; with the seeds' probabilities averaged "
        f"{interval(together.loc['slice'])} and {interval(together.loc['person'])}."
    )


def site_sentences(table, seed):
    """How much of a seed's accuracy hangs on the patients of one site: a sentence, if any.

    ``table`` is :func:`tables.sites.site_accuracy_table`'s."""
    by, found = table.set_index(["group", "site", "metric"]), []
    for group in table.loc[table["site"] == MR, "group"]:
        mr, others = (
            f"{interval(own)} ({own['n_persons']:.0f} patients)"
            for own in (by.loc[group, site, "accuracy"] for site in (MR, sites.OTHERS))
        )
        rest = [by.loc["all", sites.OTHERS, m] for m in ("accuracy", "balanced accuracy")]
        found.append(
            f"**Accuracy leans on one site** (seed {seed:g}): patients with IDs `{MR}` all have a "
            f"{group}; of their slices {mr} are right, of other patients' {group} slices {others}. "
            f"Without `{MR}`, {interval(rest[0])} of the slices, balanced accuracy "
            f"{interval(rest[1])}."
        )
    return found


def publish(folder, target=None, *, profile=None, seed=0):
    """Pool the finished units, then replace ``figures/paper-lite-cv``."""
    from tumorcf_lib.study import pool, runtime

    profile = profile or config.get(NAME)
    published = target or config.published(NAME)
    units = pool.pool(runtime.Study(profile, 0, folder), published=published)
    seeds = units[units["network"] == PLAIN].groupby("training_seed")
    if not (seeds["fold"].nunique() == profile.n_folds).any():
        raise side_studies.UnfinishedStudyError(
            f"No seed has all {profile.n_folds} folds; run the missing ones by\n    {STUDY.command}"
        )
    told = {"profile": profile, "seed": seed, "source": runtime.describe(profile)}
    return STUDY.publish(folder, target, **told)


def shown_answer(table, groups=CLASSES, edits=ANSWERED, network=PLAIN):
    """Of :func:`tables.primary.still_right_table`, what the answer's chart shows."""
    own = table[(table["network"] == network) & table["group"].isin(groups)]
    own = own.rename(columns={"group": "label", "n_patients": "n_persons"})
    return pd.concat([own[own["edit"] == edit] for edit in edits], ignore_index=True)


def shown_sites(table):
    """The same for the two kinds of glioma patients, by networks shown all patients or not."""
    kinds = {PLAIN: "shown all patients", WITHOUT_MR: f"shown no {MR} patient"}
    edits, there = (*ANSWERED[:3], "background"), set(table["network"])
    shown = [
        shown_answer(table, SITES, edits, network).assign(networks=words)
        for network, words in kinds.items()
        if network in there
    ]
    return pd.concat(shown) if len(shown) > 1 else shown[0].drop(columns="networks")


def shown_scores(table):
    """Of :func:`tables.primary.estimates_table`, the scores of all slices and of the classes."""
    return plain(table[table["group"].isin(["all", *CLASSES])])


ANSWER = "scores.answer", ("table_still_right",)
OPTIONAL = (
    *("transplants_*", "saliency_*", "recipes", "masks", "masked_edits"),
    *("probes", "detector", "planes", "covariates", "contrast"),
)
STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_edits_*.csv.gz", "history.csv", "units.csv"),
    optional=tuple(f"rows_{name}.csv.gz" for name in OPTIONAL),
    derive=derive,
    figures={
        "fig_answer": Drawn(*ANSWER, lambda table: [shown_answer(table)]),
        "fig_sites": Drawn(
            *ANSWER,
            lambda table: [shown_sites(table)],
            options={"chance": 1 / len(CLASSES)},
            caption="The two kinds of glioma patients: slices called right after each edit.",
        ),
        "fig_primary": Drawn("forests.primary", ("table_primary",), lambda table: [plain(table)]),
        "fig_folds": Drawn("studies.folds", ("table_folds", "table_elsewhere")),
        "fig_confusion": Drawn("training.confusion", ("table_confusion",)),
        "fig_reliability": Drawn("training.reliability", ("table_reliability",)),
        "fig_headline": Drawn(
            "forests.headline", ("table_estimates",), lambda table: [shown_scores(table)]
        ),
        **{
            f"fig_{name}": Drawn(f"controls.{name}", (f"table_{name}",))
            for name in ("energy", "probes", "covariates", "robustness", "networks")
        },
        "fig_maps": Drawn("controls.maps", ("table_saliency",)),
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)
