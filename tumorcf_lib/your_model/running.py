"""The audit of classifiers: checked, rows saved as they come, the null, the verdict, the page."""

import hashlib
import itertools
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib import __version__, rowfiles
from tumorcf_lib.edits import audit, plan
from tumorcf_lib.your_model import checks, counting, nulls, page, report, slices, verdict
from tumorcf_lib.your_model.outputs import Probabilities

CHUNK = 32  # slices that are audited, saved and forgotten together


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


def audited(name, rows, prepared_of, classes, *, copies=(), seed=0, serious=(), warnings=(),
            about=None, n_random=None) -> Audited:
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
    copies : iterable of callable
        Its weights re-drawn: a `predict` each.
    seed : int
        Of the audit's sham places, and of the null.
    serious : sequence of str
        What forbids a verdict, in sentences.
    warnings : sequence of str
    about : dict, optional
        Provenance, shown on the page.
    n_random : int
        Random networks that the effect is compared with (default: `nulls.N_RANDOM`).
    """
    answers = verdict.answers_of(rows, classes)
    get = prepared_of if callable(prepared_of) else prepared_of.subset
    null = nulls.of_audit(answers, get, copies=copies, seed=seed, n_random=n_random)
    word = verdict.judged(answers, null)
    if serious:
        word = verdict.Verdict(verdict.UNKNOWN, f"mend first: {serious[0]}", word.numbers)
    return Audited(name, rows, answers, word, list(warnings), about or {})


# -- Rows, saved as they come ------------------------------------------------


def rows_of(predict, n_slices, prepared_of, *, folder, key, edits, n_places, seed, batch_size):
    """The audit's rows, in parts that are kept in a folder until the page is written.

    `prepared_of` maps indices of slices to the prepared cohort of them. Parts are not used if
    their `key` (a dict: what the rows depend on) is another, or the classifier answers otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [np.arange(n_slices)[i : i + CHUNK] for i in range(0, n_slices, CHUNK)]
    own = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    mark = folder / "key.txt"
    kept = mark.is_file() and mark.read_text(encoding="utf-8") == own
    if not (kept and _answers_alike(predict, prepared_of(chunks[0]), folder / "0.csv")):
        for path in folder.glob("*.csv"):
            path.unlink()
        mark.write_text(own, encoding="utf-8")
    with counting("audited", n_slices) as bar:
        for k, chunk in enumerate(chunks):
            path = folder / f"{k}.csv"
            if not path.is_file():
                cohort = prepared_of(chunk)
                part = audit.audit(predict, cohort, edits=edits, n_places=n_places, seed=seed,
                                   batch_size=batch_size)
                gone = part["slice_id"].isin(checks.vanished(cohort))
                size = "x".join(map(str, cohort.masks.shape[1:]))
                part.loc[gone & (part["reason"] == plan.EMPTY_MASK), "reason"] = (
                    f"mask vanishes at {size} px"
                )
                part.to_csv(path.with_suffix(".part"), index=False)
                os.replace(path.with_suffix(".part"), path)
            bar.update(len(chunk))
    parts = [read_rows(folder / f"{k}.csv") for k in range(len(chunks))]
    return pd.concat(parts, ignore_index=True)


def read_rows(path) -> pd.DataFrame:
    """Rows of an audit as they were written: a class or patient called "NA" or "7" stays so."""
    rows = rowfiles.read_table(path)
    return rows.assign(**{name: rows[name].astype(str) for name in rowfiles.NAME_COLUMNS})


def _answers_alike(predict, cohort, path):
    """Whether the classifier still says what the first part of the rows has."""
    if not path.is_file():
        return False
    rows = read_rows(path)
    then = rows[rows["edit"] == "original"].iloc[:8]
    p = then[[name for name in rows if name.startswith("p_")]].to_numpy(float)
    return bool(np.abs(predict(np.array(cohort.slices[: len(p)])) - p).max() < 1e-3)


# -- One call of the command -------------------------------------------------


def run(cohort, models, options, *, command="") -> Path | None:
    """Check every classifier; unless that is all that was asked for, audit them, write the page.

    `cohort` is as stored, `options` are the command line's, `command` is shown on the page.
    Returns the page; of checks only where a folder was named.
    """
    out = None if options.out is None else Path(options.out)
    audits, parts = [], []
    sample = checks.sample_of(cohort)
    for k, model in enumerate(models):
        size = (options.size or None) if options.size is not None else model.size or (224, 224)
        settings = {"size_px": size, "scale": options.scale, "fit": options.fit,
                    "air": options.air}
        prepared = slices.prepare(sample, **settings)
        found = checks.of_slices(cohort, prepared, **settings)
        predict = checks.of_classifier(found, model, sample, output=options.output,
                                       settings=settings)
        edits = slices.headline_edits(options.scale) + plan.control_edits(
            options.infills, options.dilations, min(prepared.masks.shape[1:]),
            options.control_places,
        )
        seconds, memory = checks.predicted(
            slices.with_air(predict, options.air), prepared, len(cohort), edits, options.places,
            options.batch_size, 3 * nulls.N_SLICES * nulls.N_COPIES if model.copies else 0,
        )
        found.facts.append(f"predicted: {seconds / 60:.1f} minutes, {memory / 1e9:.1f} GB")
        print(f"{model.name}: {'; '.join(found.facts)}.", flush=True)
        for line in found.scales.dropna().itertuples():
            print(f"  accuracy with --scale {line.scale}: {line.accuracy:.0%}", flush=True)
        for text in found.warnings:
            _warn(text)
        if options.check:
            parts += report.check_parts(model.name, found)
        else:
            audits.append(_audited(cohort, model, options, settings, found, predict, edits,
                                   out / "parts" / str(k), command))
    if options.check:
        return page.write("Before the audit", parts, out / "check.html") if out else None
    print("Writing the report ...", flush=True)
    size = "x".join(map(str, prepared.masks.shape[1:]))
    notes = [f"Slices prepared at {size} px ({options.fit}), intensities "
             f"{slices.SCALES[options.scale]}"]
    if options.scale != "zscore":
        notes.append("Edits defined on z-scores (silhouette, refitted intensities) are left out")
    target = report.write_report(audits, out, cohort=cohort, title=options.title, notes=notes,
                                 examples=None if options.no_slices else prepared)
    shutil.rmtree(out / "parts")
    return target


def _warn(text):
    print(f"Warning: {text}", file=sys.stderr, flush=True)


def _audited(cohort, model, options, settings, found, predict, edits, parts, command):
    started = datetime.now().astimezone()
    shown = slices.with_air(predict, options.air)

    def prepared_of(indices):
        return slices.prepare(cohort.subset(np.asarray(indices)), **settings)

    key = {
        "model": model.digest, "name": model.name, "settings": settings, "version": __version__,
        "edits": [str(edit) for edit in edits], "places": options.places, "seed": options.seed,
        "output": options.output, "classes": cohort.classes,
        "slices": cohort.table.to_csv(index=False),
    }
    rows = rows_of(
        shown, len(cohort), prepared_of, folder=parts, key=key, edits=edits, seed=options.seed,
        n_places=options.places, batch_size=options.batch_size,
    )
    lost = rows.loc[rows["reason"].str.startswith("mask vanishes"), "slice_id"].nunique()
    if lost:
        found.warn(f"{lost} masks vanish in the resize: those slices say nothing.")
        _warn(found.warnings[-1])

    def copies():
        drawn = model.copies(np.random.default_rng([options.seed, 8])) if model.copies else ()
        for raw in itertools.islice(drawn, nulls.N_COPIES):
            copy = Probabilities(raw, cohort.classes, options.output, model.name)
            copy.kind = predict.kind
            yield slices.with_air(copy, options.air)

    what = "module" if model.kind == "callable" else "model"
    about = {
        "date": started.isoformat(timespec="seconds"), "command": command, "kind": model.kind,
        f"SHA-256 of its {what}": model.digest, "answers taken as": predict.kind,
        "shams a slice": options.places, "seed": options.seed,
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
    }
    one = audited(
        model.name, rows, prepared_of, cohort.classes, copies=copies(), seed=options.seed,
        serious=found.serious, warnings=found.warnings, about=about,
    )
    one.where = page.looks(found.sample, shown)
    return one
