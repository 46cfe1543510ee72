"""``figures/calibration``: rows, tables and figure of the calibration."""

from tumorcf_lib import config
from tumorcf_lib.phantoms import planted as phantom_calibration
from tumorcf_lib.study import side_studies
from tumorcf_lib.tables import calibration as tables

COHORT = "calibration phantom"  # in every table, so that none is taken for one of patients
EXAMPLE_PX = 256
TABLES = ("rows_calibration", "table_networks", "table_null", "table_planted", "table_separation")


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/calibration``; parameters as of ``side_studies.SideStudy.publish``."""
    return STUDY.publish(
        folder, target, profile=profile or config.get("calibration"), seed=seed,
        source=phantom_calibration.SOURCE,
    )  # fmt: skip


def published(folder=None):
    """What the calibration figure shows, read from ``figures/calibration``.

    One congruent slice of each class, drawn again; scores of ``tables.network_scores``; and the
    published tables by name.
    """
    read = side_studies.reader(folder or config.published("calibration"))
    return shown(*map(read, TABLES))


def shown(rows, *derived):
    """What :func:`tumorcf_lib.figures.studies.known_answers` draws of rows and tables."""
    examples = phantom_calibration.make_congruent_cohort(1, 1, size_px=EXAMPLE_PX, seed=1)
    return examples, tables.network_scores(rows), dict(zip(TABLES[1:], derived, strict=True))


def sentences(folder=None):
    """What the published calibration found, in plain words, every number from its tables.

    Returns
    -------
    list of str
    """
    read = side_studies.reader(folder or config.published("calibration"))
    null, trend, apart, planted = (
        read(f"table_{name}") for name in ("null", "trend", "separation", "planted")
    )
    found = []
    null = null[null["scale"] == "probability"]
    for row in null[null["group"] == "all"].itertuples():
        classes = null[(null["kind"] == row.kind) & (null["group"] != "all")]
        found.append(
            f"{row.n_networks} networks of {row.kind}: mean Net-Drop {row.effect:+.4f} "
            f"[{row.low:+.4f}, {row.high:+.4f}] (90 %), "
            f"{'equivalent' if row.verdict == 'equivalent' else 'not shown to be equivalent'} to 0 "
            f"within {row.margin:g}; single networks from {row.smallest:+.3f} to "
            f"{row.largest:+.3f}, single classes of them from {classes['smallest'].min():+.3f} to "
            f"{classes['largest'].max():+.3f}: what shifts from class to class cancels in the mean "
            "over classes, not within one."
        )
    for scale, score in tables.SCALES.items():
        own = planted[(planted["score"] == score) & (planted["group"] == "all")]
        steps = trend[(trend["scale"] == scale) & (trend["group"] == "all")]
        fails = steps[steps["verdict"] != "supported"]
        told = "; each of these falls, and the slope, is supported"
        if len(fails):
            told = "; not supported of these falls and their slope: " + ", ".join(
                f"rho {row.comparison.replace('rho ', '').replace(' - ', ' to ')} "
                f"({row.verdict}, {row.effect:.3f})" if row.comparison != "slope"
                else f"the slope ({row.verdict})" for row in fails.itertuples()
            )
        levels = ", ".join(f"{round(r.effect, 2) + 0.0:.2f} at rho {r.rho:g}"
                           for r in own.itertuples())  # a zero has no sign
        found.append(
            f"Net-Drop in {scale} by the share rho of patients whose label the marker carries: "
            f"{levels}{told}."
        )
    row = apart[(apart["scale"] == "log-odds") & (apart["group"] == "all")].iloc[0]
    found.append(
        "Net-Drop of a slice in log-odds separates the tumor-reader from the shortcut-reader with "
        f"AUC {row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}], {row['n_persons']} persons; "
        f"at least {row['bar']:g}: {row['verdict']}."
    )
    return found


FIGURE = side_studies.Drawn(
    "studies.known_answers", TABLES, shown, lambda rows, _, null, planted, __: (null, planted))
STUDY = side_studies.SideStudy(
    name="calibration",
    files=("rows_calibration.csv.gz", "rows_follow.csv.gz", "history.csv"),
    derive=tables.derive,
    figures={"fig_calibration": FIGURE},
    tag=f"{COHORT}s, not patients",
    shows_slices=("fig_calibration",),
    cohort=COHORT,
    command="python -m tumorcf_lib calibrate",
)
