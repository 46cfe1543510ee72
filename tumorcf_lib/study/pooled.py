"""What the folds say together: ``figures/paper-lite-cv`` and its sentences."""

from tumorcf_lib import config
from tumorcf_lib.stats import answers
from tumorcf_lib.study import side_studies
from tumorcf_lib.tables.folds import AS_IS, ONE, derive

NAME = "paper-lite-cv"


def sentences(folder=None):
    """What the pooled folds found, in plain words, every number from the published tables."""
    return [*performance_sentences(folder), *class_sentences(folder)]


def class_sentences(folder=None):
    """Whether each class's probability falls with the tumor: a part of :func:`sentences`."""
    read = side_studies.reader(folder or config.published(NAME))
    told = answers.by_class(read("table_findings"), read("table_net_by_site"))
    return [f"{group.capitalize()}: {words}." for group, words in told.items()]


def performance_sentences(folder=None):
    """How good the networks are out of fold: a part of :func:`sentences`."""
    read = side_studies.reader(folder or config.published(NAME))
    performance, spread = read("table_performance"), read("table_spread")
    ece = read("table_reliability").groupby("kind")["ece"].first()
    first = performance[
        (performance["networks"] == ONE) & (performance["views"] == AS_IS)
        & (performance["training_seed"] == performance["training_seed"].iloc[0])
    ]  # fmt: skip
    by = first.set_index(["level", "metric"])
    slices, persons = by.loc[("slice", "accuracy")], by.loc[("person", "accuracy")]
    balanced = by.loc[("slice", "balanced accuracy")]
    row = spread.set_index("metric").loc["slice_accuracy"]
    single = read("table_folds")["ece_temperature"].mean()
    seeds = (
        f"{row['sd_seed']:.3f} between seeds" if row["n_seeds"] > 1
        else "one training seed, so its spread is unknown"
    )  # fmt: skip
    return [
        f"Out of fold over all {int(slices['n'])} slices of {int(slices['n_persons'])} persons: "
        f"{_interval(slices)} of the slices and {_interval(persons)} of the persons are right; "
        f"balanced accuracy of slices {_interval(balanced)}.",
        *site_sentences(read("table_accuracy_by_site")),
        f"Calibration error (ECE) {ece['slices']:.3f}; after a temperature fitted on each fold's "
        f"validation persons {ece['slices, temperature']:.3f} over all folds together, where "
        f"errors of single folds cancel, and {single:.3f} in a single fold, on average.",
        f"Single folds score from {row['lowest']:.3f} to {row['highest']:.3f} (slices): standard "
        f"deviation {row['sd_fold']:.3f} between folds, {seeds}.",
        _chosen_by(read("rows_predictions"), read("rows_validation")),
    ]


def site_sentences(table):
    """How much of the accuracy hangs on the persons of one site, if there is such a site.

    Parameters
    ----------
    table : DataFrame
        From :func:`tables.site_tables.site_accuracy_table`.

    Returns
    -------
    list of str
        At most one sentence.
    """
    by = table.set_index(["group", "site", "metric"])
    found = []
    for group in table.loc[table["site"] == answers.MR, "group"]:
        mr, others = (by.loc[(group, site, "accuracy")] for site in (answers.MR, answers.OTHERS))
        rest = [by.loc[("all", answers.OTHERS, m)] for m in ("accuracy", "balanced accuracy")]
        found.append(
            f"**Accuracy leans on one site**: persons with IDs `{answers.MR}` all have a {group}, "
            f"and {_interval(mr)} of their slices are right ({int(mr['n_persons'])} persons); of "
            f"other persons' {group} slices {_interval(others)} ({int(others['n_persons'])} "
            f"persons). Without `{answers.MR}`, {_interval(rest[0])} of the slices are right, "
            f"balanced accuracy {_interval(rest[1])}."
        )
    return found


def _chosen_by(predictions, validation):
    """How many of the tested persons are validation persons of another fold."""
    tested = set(predictions["person_id"])
    both = len(tested & set(validation["person_id"]))
    return (
        f"{both} of the {len(tested)} tested persons are validation persons of another fold, and "
        "so had a part in the choice of the recipe; none had one in the epoch of the network that "
        "tests them."
    )


def publish(folder, target=None, *, profile=None, seed=0):
    """Pool the finished units, then replace ``figures/paper-lite-cv``."""
    from tumorcf_lib import config
    from tumorcf_lib.study import folds, runtime, sources

    profile = profile or config.get(NAME)
    folds.pool(runtime.Study(profile, 0, folder))
    return STUDY.publish(folder, target, profile=profile, seed=seed,
                         source=sources.describe(profile))


def _interval(row):
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _drawn(draw, *names):
    def figure(folder):
        
        from tumorcf_lib import figures
        from tumorcf_lib.figures import forests, studies, training  # noqa: F401

        read = side_studies.reader(folder)
        return draw(figures, *(read(name) for name in names))

    return figure


STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_validation.csv.gz", "rows_edits.csv.gz",
           "history.csv", "units.csv"),
    optional=("rows_recipes.csv.gz",),
    derive=derive,
    figures={
        "fig_folds": _drawn(
            lambda figures, *tables: figures.studies.folds(*tables),
            "table_folds", "table_elsewhere"),
        "fig_confusion": _drawn(
            lambda figures, table: figures.training.confusion(table), "table_confusion"),
        "fig_reliability": _drawn(
            lambda figures, table: figures.training.reliability(table), "table_reliability"),
        "fig_headline": _drawn(
            lambda figures, table: figures.forests.headline(table), "table_scores"),
        "fig_findings": _drawn(
            lambda figures, table: figures.forests.findings(table, form="net"), "table_findings"),
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)  # fmt: skip
