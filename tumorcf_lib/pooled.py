"""What the folds say together: ``figures/paper-lite-cv`` and its sentences."""

from tumorcf_lib import findings, paths, side_studies
from tumorcf_lib.pooled_tables import AS_IS, ONE, derive

NAME = "paper-lite-cv"


def sentences(folder=None):
    """What the pooled folds found, in plain words, every number from the published tables."""
    read = side_studies.reader(folder or paths.published(NAME))
    told = findings.answers(read("table_findings"))
    return [
        *performance_sentences(folder),
        *(f"{group.capitalize()}: {words}." for group, words in told.items()),
        _site_sentence(read("table_net_by_site")),
    ]


def performance_sentences(folder=None):
    """How good the networks are out of fold: a part of :func:`sentences`."""
    read = side_studies.reader(folder or paths.published(NAME))
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
    seeds = (
        f"{row['sd_seed']:.3f} between seeds" if row["n_seeds"] > 1
        else "one training seed, so its spread is unknown"
    )  # fmt: skip
    return [
        f"Out of fold over all {int(slices['n'])} slices of {int(slices['n_persons'])} persons: "
        f"{_interval(slices)} of the slices and {_interval(persons)} of the persons are right; "
        f"balanced accuracy of slices {_interval(balanced)}.",
        f"Calibration error (ECE) {ece['slices']:.3f}, after a temperature fitted on each fold's "
        f"validation persons {ece['slices, temperature']:.3f}.",
        f"Single folds score from {row['lowest']:.3f} to {row['highest']:.3f} (slices): standard "
        f"deviation {row['sd_fold']:.3f} between folds, {seeds}.",
    ]


def publish(folder, target=None, *, profile=None, seed=0):
    """Pool the finished units, then replace ``figures/paper-lite-cv``."""
    from tumorcf_lib import config, crossval, runtime, sources

    profile = profile or config.get(NAME)
    crossval.pool(runtime.Study(profile, 0, folder))
    return STUDY.publish(folder, target, profile=profile, seed=seed,
                         source=sources.describe(profile))


def _interval(row):
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def _site_sentence(table):
    """Whether gliomas of the site that has no other tumor are read by their tumor."""
    own = table[(table["score"] == "net_drop") & (table["group"] == "glioma")]
    parts = [
        f"{row.site} {row.effect:.3f} [{row.low:.3f}, {row.high:.3f}], {row.n_persons} persons"
        for row in own.itertuples()
    ]
    return f"Net-Drop of gliomas by site, all slices: {'; '.join(parts)}."


def _drawn(draw, *names):
    def figure(folder):
        from tumorcf_lib import plotting

        read = side_studies.reader(folder)
        return draw(plotting, *(read(name) for name in names))

    return figure


STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_validation.csv.gz", "rows_edits.csv.gz",
           "history.csv", "units.csv"),
    optional=("rows_recipes.csv.gz",),
    derive=derive,
    figures={
        "fig_folds": _drawn(
            lambda plotting, *tables: plotting.pooled_folds(*tables),
            "table_folds", "table_elsewhere"),
        "fig_confusion": _drawn(
            lambda plotting, table: plotting.confusion(
                table.drop(columns="true").to_numpy(), list(table["true"])),
            "table_confusion"),
        "fig_reliability": _drawn(
            lambda plotting, table: plotting.reliability(table), "table_reliability"),
        "fig_headline": _drawn(lambda plotting, table: plotting.headline(table), "table_scores"),
        "fig_findings": _drawn(
            lambda plotting, table: plotting.findings_forest(table, form="net"), "table_findings"),
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)  # fmt: skip
