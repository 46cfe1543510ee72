"""The audit of classifiers: checked, rows saved as they come, the null, the verdict, the page."""

import platform
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles, steps
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.your_model import checks, counting, nulls, page, report, slices, verdict
from tumorcf_lib.your_model.adapter import Probabilities

CHUNK = 32  # slices that are audited, saved and forgotten together
UNFINISHED = "unfinished_audit"  # the folder of what is saved, removed when all is done


@dataclass
class Audited:
    """One classifier's audit, ready for the page."""

    name: str
    rows: pd.DataFrame
    answers: verdict.Answers
    verdict: verdict.Verdict
    warnings: list = field(default_factory=list)
    about: dict = field(default_factory=dict)
    where: object = None


def audited(name, rows, prepared_of, classes, *, seed=0, found=None) -> Audited:
    """An audit's rows with the verdict on them.

    Parameters
    ----------
    name : str
        Of the classifier.
    rows : DataFrame
        From :func:`edits.audit.audit`.
    prepared_of : Cohort or callable
        The prepared cohort, or a function from indices of slices to it: networks that know
        nothing are shown edits of some of its slices.
    classes : sequence of str
    seed : int
        Of the audit's sham places, and of the null.
    found : Findings, optional
        Warnings of :mod:`checks`, of which the serious ones forbid a verdict.
    """
    answers = verdict.answers_of(rows, classes)
    get = prepared_of if callable(prepared_of) else prepared_of.subset
    word = verdict.judged(answers, nulls.of_audit(answers, get, seed=seed))
    if found and found.serious:
        why = f"correct this first: {found.serious[0]}"
        word = verdict.Verdict(verdict.UNKNOWN, why, word.numbers)
    return Audited(name, rows, answers, word, found.warnings if found else [])


# -- Rows, saved as they come ------------------------------------------------


def rows_of(predict, n_slices, prepared_of, *, folder, depends_on, **options):
    """The audit's rows, in parts that are kept in a folder until the page is written.

    `prepared_of` maps indices of slices to the prepared cohort of them, `options` are those of
    :func:`edits.audit.audit`. Parts that a kill left are taken up for equal `depends_on`.
    """
    folder, parts = steps.begin(folder, depends_on), []
    with counting("audited", n_slices) as bar:
        for start in range(0, n_slices, CHUNK):
            chunk = np.arange(start, min(start + CHUNK, n_slices))
            path = folder / f"{start}.csv"
            if not path.is_file():
                cohort = prepared_of(chunk)
                part = audit.audit(predict, cohort, **options)
                gone = part["slice_id"].isin(checks.vanished(cohort))
                gone &= part["reason"] == plan.EMPTY_MASK
                part.loc[gone, "reason"] = f"mask vanishes at {_size(cohort)} px"
                with steps.being_written(path) as unfinished:
                    part.to_csv(unfinished, index=False)
            parts.append(read_rows(path))
            bar.update(len(chunk))
    return pd.concat(parts, ignore_index=True)


def read_rows(path) -> pd.DataFrame:
    """Rows of an audit as they were written: a class or patient called "NA" or "7" stays so."""
    rows = rowfiles.read_table(path)
    return rows.assign(**{name: rows[name].astype(str) for name in rowfiles.NAME_COLUMNS})


def _size(prepared):
    return "x".join(map(str, prepared.masks.shape[1:]))


# -- One call of the command -------------------------------------------------


def run(cohort, models, options, *, command="") -> Path | None:
    """Check every classifier; unless that is all that was asked for, audit them, write the page.

    `cohort` is as stored, `options` are the command line's, `command` is shown on the page.
    Returns the page; of checks only where a folder was named.
    """
    out = Path(options.out) if options.out else None
    sample, audits, samples, looked_at = checks.sample_of(cohort), [], [], []
    for k, model in enumerate(models):
        size = model.size or (224, 224) if options.size is None else options.size or None
        settings = {"size_px": size, "scale": options.scale, "fit": options.fit, "air": options.air}
        prepared = slices.prepare(sample, **settings)
        found = checks.of_slices(cohort, prepared, settings)
        how = cohort.classes, options.output, model.name, options.batch_size
        new_predict = partial(Probabilities, model.raw, *how)
        predict = checks.of_classifier(found, new_predict, sample, settings)
        print(f"{model.name}: {'; '.join(found.facts)}.", flush=True)
        for line in found.scales.dropna().itertuples():
            print(f"  accuracy with --scale {line.scale}: {line.accuracy:.0%}", flush=True)
        if options.check:
            looked_at.append({"name": model.name, **checks.looked_at(found)})
        else:
            folder = out / UNFINISHED / str(k)
            one = _audited(model, cohort, predict, found, settings, options, folder)
            one.about = _about(model, predict, options, command)
            audits.append(one)
            samples.append(prepared)
    if options.check:
        values = {"title": "Before the audit", "checks": looked_at}
        return page.write(out / "check.html", "check.html.j2", **values) if out else None
    print("Writing the report ...", flush=True)
    sizes = " and ".join(dict.fromkeys(map(_size, samples)))
    scale = slices.SCALES[options.scale]
    notes = [f"Slices prepared at {sizes} px ({options.fit}), intensities {scale}"]
    if options.scale != "zscore":
        notes.append("Edits defined on z-scores (silhouette, refitted intensities) are left out")
    shown = {"examples": None if options.no_slices else samples, "title": options.title}
    target = report.write_report(audits, out, cohort=cohort, notes=notes, **shown)
    shutil.rmtree(out / UNFINISHED)
    return target


def _audited(model, cohort, predict, found, settings, options, folder):
    """The audit of a classifier that was checked."""
    shown, prepared = slices.with_air(predict, options.air), found.sample
    of_controls = options.infills, options.dilations, min(prepared.masks.shape[1:])
    how = {
        "edits": slices.headline_edits(options.scale)
        + plan.control_edits(*of_controls, options.control_places),
        "n_places": options.places,
        "seed": options.seed,
        "batch_size": options.batch_size,
    }
    depends_on = {
        "classifier": (__version__, model.name, model.digest, options.output),
        "answers": shown(prepared.slices[:8]).round(4).tolist(),
        "slices": (settings, cohort.classes, cohort.table.to_csv(index=False)),
        "edits": how,
    }

    def prepared_of(indices):
        return slices.prepare(cohort.subset(np.asarray(indices)), **settings)

    rows = rows_of(shown, len(cohort), prepared_of, folder=folder, depends_on=depends_on, **how)
    one = audited(model.name, rows, prepared_of, cohort.classes, seed=options.seed, found=found)
    one.where = page.looks(prepared, shown)
    return one


def _about(model, predict, options, command):
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command,
        "SHA-256": model.digest,
        "answers taken as": predict.kind,
        "shams a slice": options.places,
        "seed": options.seed,
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
    }
