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


def in_short(folder=None):
    """The study's answer in one breath, by the verdicts of the paper's first finding."""
    claims = plain(_reader(folder)("table_primary")).query("finding == 1")
    told = {
        "holds": "Taking the tumor out lowers the probability of {} further than chance can.",
        "does not hold": "Taking it out does not lower that of {}.",
        "cannot be told": "For {} it cannot be told: networks that know nothing change as much.",
    }
    by = {word: claims.loc[claims["verdict"] == word, "group"] for word in told}
    return " ".join(told[word].format(listed(own)) for word, own in by.items() if len(own))


def answer_sentences(folder=None):
    """The study's answer in a few sentences, every number from the published tables."""
    read = _reader(folder)
    shares = read("table_still_right").set_index(["network", "edit", "group"])
    right, net = shares["share"].loc[PLAIN], _net_drops(read, PLAIN)
    each = read("table_performance")
    each = each[(each["networks"] == ONE) & (each["metric"] == "accuracy")]
    accuracy = each.groupby("level")["value"].mean()
    falls = [
        f"from {right['original', name]:.0%} to {right['remove', name]:.0%} for {name}"
        for name in CLASSES
    ]
    shams = [f"{right['sham', name]:.0%}" for name in CLASSES]
    drops = [f"{name} {interval(net.loc[name])}" for name in CLASSES]
    n, trainings = _how_many(read, PLAIN, "training")
    told = [
        f"On the real slices our networks are right on {accuracy['slice']:.0%} of the slices and "
        f"{accuracy['person']:.0%} of the patients. Painting the tumor out moves the share of "
        f"slices called right (here and below, every patient the same) {listed(falls)}; painting "
        f"the same shape out elsewhere (a sham) leaves {listed(shams)}.",
        f"The true class's probability falls by this much more than with a sham (Net-Drop): "
        f"{listed(drops)}, over {n} networks ({trainings} of each fold). "
        + _beside_nothing(read, net),
    ]
    if set(SITES) <= set(net.index):
        there, cut_out = (
            [f"{right[edit, site]:.0%}" for site in SITES] for edit in ("original", "background")
        )
        told.append(
            f"All patients with IDs `{MR}` have a glioma, and {there[0]} of their slices are "
            f"called right; of the other glioma patients' slices {there[1]}. With the tumor "
            f"cut out (air in its place) {listed(cut_out)} are called right.{_never_shown(read)}"
        )
    by = read("table_transplants").set_index(["network", "kind", "donor", "host"])
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
    if LOOKING in by.index:
        told.append(_taught(read, by["tumor"], shares["no_tumor"]))
    return told


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
    return f" Networks that were shown no such patient are right on {before}; cut out, {after}."


def _taught(read, follows, absent):
    """What fine-tuning to look does: whom it follows, and whether a sham looks absent to it."""
    right = read("table_networks").query("score == 'accuracy' and group == 'all'")
    right = right.set_index("network")["effect"].map("{:.1%}".format)
    net = _net_drops(read, LOOKING)
    drops = listed(f"{name} {net.loc[name, 'effect']:.2f}" for name in CLASSES)
    shams = listed(f"{absent[LOOKING, 'sham', name]:.0%}" for name in CLASSES)
    follow, before, keep, kept = (
        f"{follows[network, kind, 'all', 'all']:.0%}"
        for kind in ("conflict", "control")
        for network in (LOOKING, PLAIN)
    )
    return (
        'A network can be taught to look: fine-tuned to say "no tumor" where one was painted out, '
        f"ours have a Net-Drop of {drops}, say so of {shams} after a sham, and are right "
        f"on {right[LOOKING]} of the slices (before: {right[PLAIN]}). They were trained on moved "
        f"and transplanted tumors, too, so that they follow a transplant in {follow} (before: "
        f"{before}) and keep the class of a moved tumor in {keep} (before: {kept}) shows no more "
        "than that they learned it."
    )


def _how_many(read, network, what):
    """The number of networks of a kind, and that of their seeds in words."""
    own = read("table_folds").query("network == @network", local_dict={"network": network})
    n = own["training_seed"].nunique()
    return len(own), f"{n} {what}{'s' * (n > 1)}"


def _beside_nothing(read, net):
    """Of which classes Net-Drop lies where networks that know nothing do not."""
    own = net.loc[list(CLASSES)]
    if own["null_low"].isna().any():
        return "The networks that know nothing, to be compared with, are not all trained yet."
    n, deals = _how_many(read, SHUFFLED, "shuffle")
    outside = own.index[~own["effect"].between(own["null_low"], own["null_high"])]
    return (
        f"Beyond the reach of networks that know nothing (their labels were shuffled among "
        f"patients; {n} of them, {deals}): {listed(list(outside) or ['none of these'])}."
    )


def class_sentences(folder=None):
    """What becomes of the primary claims of finding 1, class by class."""
    table = plain(_reader(folder)("table_primary")).query("finding == 1")
    return [
        f"{row['claim']}: {row['verdict']} for our network (Net-Drop {interval(row)}; networks "
        f"that know nothing {band(row)})."
        for row in table.to_dict("records")
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
    folds = plain(read("table_folds")).set_index("training_seed")
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
        f"folds together, where errors of single folds cancel, and "
        f"{folds.loc[first, 'ece_temperature'].mean():.3f} in a single fold, on average.",
        f"Single networks score from {row['lowest']:.3f} to {row['highest']:.3f} (slices): "
        f"standard deviation {row['sd_fold']:.3f} between folds, {seeds}.",
    ]


def _seeds_sentence(table):
    """What several seeds say together: at most one sentence."""
    own = table[table["metric"] == "accuracy"].set_index(["networks", "level"])
    if AVERAGED in own.index:
        mean, together = own["value"].loc[MEAN_OF_ONE], own.loc[AVERAGED]
        yield (
            f"In the mean over {table['training_seed'].nunique()} seeds {mean['slice']:.3f} and "
            f"{mean['person']:.3f}; with the seeds' probabilities averaged "
            f"{interval(together.loc['slice'])} and {interval(together.loc['person'])}."
        )


def site_sentences(table, seed):
    """How much of a seed's accuracy hangs on the patients of one site: a sentence, if any.

    ``table`` is :func:`tables.sites.site_accuracy_table`'s."""
    by = table.set_index(["group", "site", "metric"]).sort_index()
    for group in table.loc[table["site"] == MR, "group"]:
        mr, others = (by.loc[group, site, "accuracy"] for site in (MR, sites.OTHERS))
        rest = by.loc["all", sites.OTHERS]
        yield (
            f"**Accuracy leans on one site** (seed {seed:g}): patients with IDs `{MR}` all have a "
            f"{group}; of their slices {interval(mr)} ({mr['n_persons']:.0f} patients) are right, "
            f"of other patients' {group} slices {interval(others)} ({others['n_persons']:.0f} "
            f"patients). Without `{MR}`, {interval(rest.loc['accuracy'])} of the slices, balanced "
            f"accuracy {interval(rest.loc['balanced accuracy'])}."
        )


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
STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_edits_*.csv.gz", "history.csv", "units.csv"),
    optional=("rows_*.csv.gz",),
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
