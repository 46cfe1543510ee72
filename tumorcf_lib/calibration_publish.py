"""``figures/calibration``: rows, tables and figure of the calibration."""

from pathlib import Path

from tumorcf_lib import calibration_tables as tables
from tumorcf_lib import config, paths, phantom_calibration, side_studies

COHORT = "calibration phantom"  # in every table, so that none is taken for one of patients
EXAMPLE_PX = 256


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/calibration``; parameters as of ``side_studies.SideStudy.publish``."""
    return STUDY.publish(
        folder, target, profile=profile or config.get("calibration"), seed=seed,
        source=phantom_calibration.SOURCE,
    )  # fmt: skip


def published(folder=None):
    """What the calibration figure shows, read from ``figures/calibration``.

    Returns
    -------
    examples : Cohort
        One congruent slice of each class, drawn anew.
    scores : DataFrame
        From ``calibration_tables.network_scores``.
    derived : dict of str to DataFrame
        The published tables.
    """
    folder = Path(folder or paths.published("calibration"))
    examples = phantom_calibration.make_congruent_cohort(1, 1, size_px=EXAMPLE_PX, seed=1)
    read = side_studies.reader(folder)
    scores = tables.network_scores(read("rows_calibration"))
    names = [path.stem for path in sorted(folder.glob("table_*.csv"))]
    return examples, scores, {name: read(name) for name in names}


def sentences(folder=None):
    """What the published calibration found, in plain words, every number from its tables.

    Returns
    -------
    list of str
    """
    read = side_studies.reader(folder or paths.published("calibration"))
    null, trend, apart, planted = (
        read(f"table_{name}") for name in ("null", "trend", "separation", "planted")
    )
    found = []
    for row in null[(null["scale"] == "probability") & (null["group"] == "all")].itertuples():
        found.append(
            f"{row.n_networks} networks of {row.kind}: mean Net-Drop {row.effect:+.4f} "
            f"[{row.low:+.4f}, {row.high:+.4f}] (90 %), single networks from {row.smallest:+.3f} "
            f"to {row.largest:+.3f}; equivalent to 0 within {row.margin:g}: "
            f"{'yes' if row.verdict == 'equivalent' else 'not shown'}."
        )
    for scale, score in tables.SCALES.items():
        own = planted[(planted["score"] == score) & (planted["group"] == "all")]
        steps = trend[(trend["scale"] == scale) & (trend["group"] == "all")]
        n_falls = (steps["verdict"] == "supported").sum()
        levels = ", ".join(f"{r.effect:.2f} at rho {r.rho:g}" for r in own.itertuples())
        found.append(
            f"Net-Drop in {scale} by the share rho of patients whose label the marker carries: "
            f"{levels}; {n_falls} of {len(steps)} claims that it falls are supported."
        )
    row = apart[(apart["scale"] == "log-odds") & (apart["group"] == "all")].iloc[0]
    found.append(
        "Net-Drop of a slice in log-odds tells the tumor-reader from the shortcut-reader with "
        f"AUC {row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}], {row['n_persons']} persons; "
        f"at least {row['bar']:g}: {row['verdict']}."
    )
    return found


def _figure(folder):
    from tumorcf_lib.plotting.calibration import known_answers

    return known_answers(*published(folder), tag=f"{COHORT}s, not patients")


STUDY = side_studies.SideStudy(
    name="calibration",
    files=("rows_calibration.csv.gz", "rows_follow.csv.gz", "history.csv"),
    derive=tables.derive,
    figures={"fig_calibration": _figure},
    shows_slices=("fig_calibration",),
    cohort=COHORT,
    command="python -m tumorcf_lib calibrate",
)
