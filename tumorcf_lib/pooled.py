"""What the folds say together: ``figures/paper-lite-cv`` and its sentences."""

from tumorcf_lib import paths, side_studies
from tumorcf_lib.pooled_tables import AS_IS, ONE, derive

NAME = "paper-lite-cv"


def sentences(folder=None):
    """What the pooled folds found, in plain words, every number from the published tables."""
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


def _folds_figure(folder):
    from tumorcf_lib.plotting.pooled import folds

    read = side_studies.reader(folder)
    return folds(read("table_folds"), read("table_elsewhere"))


def _drawn(name, draw):
    def figure(folder):
        from tumorcf_lib import plotting

        return draw(plotting, side_studies.reader(folder)(name))

    return figure


STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_validation.csv.gz", "rows_edits.csv.gz",
           "history.csv", "units.csv"),
    optional=("rows_recipes.csv.gz",),
    derive=derive,
    figures={
        "fig_folds": _folds_figure,
        "fig_confusion": _drawn("table_confusion", lambda plotting, table: plotting.confusion(
            table.drop(columns="true").to_numpy(), list(table["true"]))),
        "fig_reliability": _drawn("table_reliability", lambda p, table: p.reliability(table)),
        "fig_headline": _drawn("table_scores", lambda p, table: p.headline(table)),
        "fig_findings": _drawn("table_findings", lambda p, t: p.findings_forest(t, form="net")),
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)  # fmt: skip
