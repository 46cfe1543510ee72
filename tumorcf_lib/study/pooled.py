"""What the folds say together: ``figures/paper-lite-cv`` and its sentences."""

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.stats.rows import listed
from tumorcf_lib.study import side_studies
from tumorcf_lib.study.side_studies import Drawn, interval
from tumorcf_lib.tables import sites
from tumorcf_lib.tables.classifiers import LOOKING, UNSEEN
from tumorcf_lib.tables.fold_scores import MR, OTHER_IDS, PLAIN, SHUFFLED, WITHOUT_MR
from tumorcf_lib.tables.folds import AVERAGED, MEAN_OF_ONE, ONE, derive, read_if_there

NAME = "paper-lite-cv"
ANSWERED = ("original", "sham", "remove", "only", "blank")
SITES = [f"glioma, {site}" for site in (MR, OTHER_IDS)]


def _reader(folder):
    return side_studies.reader(folder or config.published(NAME))


def answer_sentences(folder=None):
    """The study's answer in a few sentences, every number from the published tables."""
    read = _reader(folder)
    right = read("table_still_right").set_index(["network", "edit", "group"])["share"].loc[PLAIN]
    net = read("table_estimates")
    net = net[(net["network"] == PLAIN) & (net["score"] == "net_drop")].set_index("group")
    falls = [
        f"from {right['original', name]:.0%} to {right['remove', name]:.0%} for {name}"
        for name in CLASSES
    ]
    shams = [f"{right['sham', name]:.0%}" for name in CLASSES]
    drops = [f"{name} {interval(net.loc[name])}" for name in CLASSES]
    accuracy = read("table_performance").query("metric == 'accuracy'")
    accuracy = accuracy.set_index(["networks", "level"])["value"].groupby(level=[0, 1]).first()
    accuracy = accuracy[MEAN_OF_ONE if MEAN_OF_ONE in accuracy.index else ONE]
    n, _, trainings = _how_many(read, PLAIN, "training", "of each fold")
    told = [
        f"On the real slices our networks are right on {accuracy['slice']:.0%} of the slices and "
        f"{accuracy['person']:.0%} of the patients. Painting the tumor out moves the share of "
        f"slices called right {listed(falls)}; painting the same shape out elsewhere (a sham) "
        f"leaves {listed(shams)}.",
        f"The true class's probability falls by this much more than with a sham (Net-Drop): "
        f"{listed(drops)}, over {n} networks ({trainings}). {_beside_nothing(read, net)}",
    ]
    mr, others = SITES
    if {mr, others} <= set(net.index):
        told.append(
            f"All patients with IDs `{MR}` have a glioma, and {right['original', mr]:.0%} of "
            f"their slices are called right, with a Net-Drop of {interval(net.loc[mr])}; of the "
            f"other glioma patients' slices {right['original', others]:.0%}, with "
            f"{interval(net.loc[others])}. With the tumor blacked out "
            f"{right['background', mr]:.0%} and {right['background', others]:.0%} stay right."
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


def _taught(read, follows):
    """What fine-tuning to look does, where it is published: at most one sentence."""
    table = read_if_there(read, "table_networks")
    if table is None or not {LOOKING} <= set(table["network"]) & set(follows.index.levels[0]):
        return []
    table = table.set_index(["network", "score", "infill", "group"])["effect"]
    right = [table[name, "accuracy", "", "all"] for name in (LOOKING, PLAIN)]
    drops = [
        listed(f"{name} {table[LOOKING, 'net_drop', infill, name]:.2f}" for name in CLASSES)
        for infill in (HEADLINE_INFILL, UNSEEN)
    ]
    kinds = (("conflict", LOOKING), ("conflict", PLAIN), ("control", LOOKING))
    shares = [f"{follows[network, kind, 'all', 'all']:.0%}" for kind, network in kinds]
    return [
        'A network can be taught to look: fine-tuned to say "no tumor" where one was painted out, '
        f"ours have a Net-Drop of {drops[0]} ({drops[1]} with infills that they never saw), follow "
        f"a transplanted tumor in {shares[0]} (before: {shares[1]}), keep the class of a moved one "
        f"in {shares[2]}, and are right on {right[0]:.1%} of the slices (before: {right[1]:.1%})."
    ]


def _how_many(read, network, what, rest):
    """Networks of a kind, their seeds, and these in words."""
    own = read("table_folds").query("network == @network", local_dict={"network": network})
    n = own["training_seed"].nunique()
    return len(own), n, f"{n} {what}{'s' * (n > 1)} {rest}"


def _beside_nothing(read, net):
    """Of which classes Net-Drop lies where networks that know nothing do not."""
    own = net.loc[list(CLASSES)]
    if own["null_low"].isna().any():
        return "The networks that know nothing, to be compared with, are not all trained yet."
    n, _, deals = _how_many(read, SHUFFLED, "shuffle", "of the labels")
    outside = (own["effect"] < own["null_low"]) | (own["effect"] > own["null_high"])
    beyond = listed(own.index[outside]) if outside.any() else "none of these"
    return (
        f"Beyond the reach of as many networks that know nothing (told from {n}, trained on "
        f"{deals}): {beyond}."
    )


def band(row):
    """Where networks that know nothing fall, in words."""
    return f"{row['null_low']:.3f} to {row['null_high']:.3f}"


def class_sentences(folder=None):
    """What becomes of the primary claims of finding 1, class by class."""
    table = _reader(folder)("table_primary")
    return [
        f"{row['claim']}: {row['verdict']} for our network (Net-Drop {interval(row)})."
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
        *site_sentences(read("table_accuracy_by_site")),
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


def site_sentences(table):
    """How much of the accuracy hangs on the patients of one site, if there is such a site: at most
    one sentence. ``table`` is :func:`tables.sites.site_accuracy_table`'s."""
    by = table.set_index(["group", "site", "metric"])
    found = []
    for group in table.loc[table["site"] == MR, "group"]:
        mr, others = (by.loc[(group, site, "accuracy")] for site in (MR, sites.OTHERS))
        rest = [by.loc[("all", sites.OTHERS, m)] for m in ("accuracy", "balanced accuracy")]
        found.append(
            f"**Accuracy leans on one site**: patients with IDs `{MR}` all have a {group}, "
            f"and {interval(mr)} of their slices are right ({int(mr['n_persons'])} patients); of "
            f"other patients' {group} slices {interval(others)} ({int(others['n_persons'])} "
            f"patients). Without `{MR}`, {interval(rest[0])} of the slices are right, "
            f"balanced accuracy {interval(rest[1])}."
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
    parts = [
        shown_answer(table, SITES, (*ANSWERED[:3], "background"), network).assign(networks=words)
        for network, words in (
            (PLAIN, "shown all patients"),
            (WITHOUT_MR, f"shown no {MR} patient"),
        )
    ]
    parts = [own for own in parts if len(own)] or parts[:1]
    return pd.concat(parts) if len(parts) > 1 else parts[0].drop(columns="networks")


def shown_scores(table):
    """Of :func:`tables.primary.estimates_table`, the scores of all slices and of the classes."""
    own = table[(table["network"] == PLAIN) & table["group"].isin(["all", *CLASSES])]
    return own.drop(columns="network").reset_index(drop=True)


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
        "fig_primary": Drawn("forests.primary", ("table_primary",)),
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
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)
