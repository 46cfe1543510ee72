"""``figures/calibration``: rows, tables and figure of the calibration, and their check."""

import json
import shutil
from pathlib import Path

from tumorcf_lib import calibration_tables as tables
from tumorcf_lib import config, paths, phantom_calibration, results, stages

ROW_FILES = ("rows_calibration", "rows_follow")
FIGURE = "fig_calibration"
COHORT = "calibration phantom"  # in every table, so that none is taken for one of patients
EXAMPLE_PX = 256


def publish(folder, target=None, *, profile=None, seed=0):
    """Replace ``figures/calibration`` by rows, tables, figure and manifest of a finished run.

    Parameters
    ----------
    folder : pathlib.Path
        Of :func:`tumorcf_lib.calibration.run`.
    target : pathlib.Path, optional
        Replaced as a whole.
    profile : config.Profile, optional
        What the run was made with.
    seed : int
        Of the run, for the manifest.

    Returns
    -------
    pathlib.Path
        The target.
    """
    profile = profile or config.get("calibration")
    folder, target = Path(folder), Path(target or paths.published("calibration"))
    new = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in (*(f"{rows}.csv.gz" for rows in ROW_FILES), "history.csv"):
        shutil.copyfile(folder / name, new / name)
    derived = tables.derive(lambda name: _read(new, name), profile.n_resamples)
    for name, table in derived.items():
        results.write_table(table.assign(cohort=COHORT), new / f"{name}.csv")
    _save_figure(new)
    manifest = {
        "profile": profile.as_dict(), "seed": seed, "source": phantom_calibration.SOURCE,
        "figures": {FIGURE: {"shows_slices": True}},
        "sha256": {path.name: stages.file_sha256(path) for path in sorted(new.iterdir())},
    }  # fmt: skip
    (new / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


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
    scores = tables.network_scores(_read(folder, "rows_calibration"))
    names = [path.stem for path in sorted(folder.glob("table_*.csv"))]
    return examples, scores, {name: _read(folder, name) for name in names}


def sentences(folder=None):
    """What the published calibration found, in plain words, every number from its tables.

    Returns
    -------
    list of str
    """
    folder = Path(folder or paths.published("calibration"))
    null, trend, apart, planted = (
        _read(folder, f"table_{name}") for name in ("null", "trend", "separation", "planted")
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


def verify(folder, compare):
    """Recompute every table of ``figures/calibration`` from its rows.

    Parameters
    ----------
    folder : pathlib.Path
    compare : callable
        ``publish``'s own: (name, published, recomputed) to a list of problems.

    Returns
    -------
    problems : list of str
    recomputed : set of str
        File names that were compared by content.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    derived = tables.derive(lambda name: _read(folder, name), manifest["profile"]["n_resamples"])
    problems = []
    for name, table in derived.items():
        problems += compare(name, _read(folder, name), results.round_trip(table))
    return problems, {f"{name}.csv" for name in derived}


def _read(folder, name):
    for end in (".csv", ".csv.gz"):
        if (folder / f"{name}{end}").is_file():
            table = results.read_table(folder / f"{name}{end}")
            return table.drop(columns="cohort", errors="ignore")
    raise FileNotFoundError(f"{folder} holds no {name}.csv or {name}.csv.gz.")


def _save_figure(folder):
    from tumorcf_lib.plotting.calibration import known_answers

    fig = known_answers(*published(folder), tag=f"{COHORT}s, not patients")
    fig.savefig(folder / f"{FIGURE}.png", dpi=150, metadata={"Software": None})
