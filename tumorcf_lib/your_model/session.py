"""One call of the audit, from a cohort and loaded classifiers to the page."""

import platform
import sys
from datetime import datetime
from pathlib import Path

import numpy as np

from tumorcf_lib import __version__
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import checks, inputs, occlusion, page, pictures, report, running
from tumorcf_lib.your_model.outputs import Probabilities

SCALES = {"zscore": "z-scored", "unit": "scaled to 0 to 1", "raw": "as stored"}


def run(cohort, models, options, *, command="") -> Path | None:
    """Check every classifier; unless that is all that was asked for, audit them, write the page.

    Parameters
    ----------
    cohort : Cohort
        As stored, from :func:`slices.read_folder`.
    models : list of models.Model
    options : namespace
        Of the command line.
    command : str
        Shown on the page.

    Returns
    -------
    Path or None
        The page; of checks only where a folder was named.
    """
    out = None if options.out is None else Path(options.out)
    audits, pages, sample = [], [], None
    for k, model in enumerate(models):
        settings = {"size_px": _size(options, model, cohort), "scale": options.scale,
                    "fit": options.fit, "air": options.air}  # fmt: skip
        sample = cohort.subset(checks.sample_of(cohort))
        prepared = inputs.prepare(sample, **settings)
        found = checks.of_slices(cohort, prepared, size=settings["size_px"],
                                 scale=options.scale, air=options.air, fit=options.fit)  # fmt: skip
        gone = checks.vanished(sample, prepared)
        predict = checks.of_classifier(found, model, sample, output=options.output,
                                       options=settings)  # fmt: skip
        shown = inputs.with_air(predict, options.air)
        edits = _edits(options, prepared)
        n_extra = 3 * running.N_NULL * running.N_COPIES if model.copies else 0
        seconds, memory = checks.predicted(shown, prepared, len(cohort), edits, options.places,
                                           options.batch_size, n_extra)  # fmt: skip
        found.facts.append(f"predicted: {seconds / 60:.1f} minutes, {memory / 1e9:.1f} GB")
        if gone:
            found.warn(f"{len(gone)} of {len(prepared)} masks looked at vanish at "
                       f"{prepared.masks.shape[1]} px: give a larger --size.",
                       serious=len(gone) > len(prepared) / 2)  # fmt: skip
        _say(model, found)
        if options.check:
            pages += _check_parts(model, found)
            continue
        audits.append(_audited(cohort, model, options, settings, found, predict, edits,
                               out / "parts" / str(k), command))  # fmt: skip
    if options.check:
        return _check_page(out, pages)
    print("Writing the report ...", flush=True)
    target = report.write_report(
        audits, out, cohort=cohort, title=options.title, notes=_notes(options, prepared),
        examples=None if options.no_slices else prepared,
    )  # fmt: skip
    for k in range(len(models)):
        running.finished(out / "parts" / str(k))
    (out / "parts").rmdir()
    return target


def _size(options, model, cohort):
    if options.size is not None:
        return options.size or None
    return model.size or (224, 224)


def _edits(options, prepared):
    edits = inputs.headline_edits(options.scale)
    side_px = min(prepared.masks.shape[1:])
    return edits + plan.control_edits(
        options.infills, options.dilations, side_px, options.control_places
    )


def _say(model, found):
    """Facts on standard output, warnings on standard error: nobody has to open the page."""
    print(f"{model.name}: {'; '.join(found.facts)}.", flush=True)
    for line in found.scales.dropna().itertuples():
        print(f"  accuracy with --scale {line.scale}: {line.accuracy:.0%}", flush=True)
    for text in found.warnings:
        print(f"Warning: {text}", file=sys.stderr, flush=True)


def _audited(cohort, model, options, settings, found, predict, edits, parts, command):
    started = datetime.now().astimezone()

    def prepared_of(indices):
        return inputs.prepare(cohort.subset(np.asarray(indices)), **settings)

    key = {
        "model": model.digest, "name": model.name, "settings": settings, "version": __version__,
        "edits": [str(edit) for edit in edits], "places": options.places, "seed": options.seed,
        "output": options.output, "classes": cohort.classes,
        "slices": cohort.table.to_csv(index=False),
    }  # fmt: skip
    rows = running.rows_of(
        inputs.with_air(predict, options.air), len(cohort), prepared_of,
        lambda prepared: checks.vanished(cohort, prepared), folder=parts, key=key, edits=edits,
        n_places=options.places, seed=options.seed, batch_size=options.batch_size,
    )  # fmt: skip
    lost = rows[(rows["edit"] == "remove") & rows["reason"].str.startswith("mask vanishes")]
    if len(lost):
        text = f"{len(lost)} masks vanish in the resize: those slices say nothing."
        found.warn(text)
        print(f"Warning: {text}", file=sys.stderr, flush=True)

    def of_copy(raw):
        copy = Probabilities(raw, cohort.classes, options.output, model.name)
        copy.kind = predict.kind
        return inputs.with_air(copy, options.air)

    about = {
        "date": started.isoformat(timespec="seconds"), "command": command, "kind": model.kind,
        "SHA-256 of the model" if model.kind != "callable" else "SHA-256 of its module":
            model.digest,
        "answers taken as": predict.kind, "shams a slice": options.places, "seed": options.seed,
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
    }  # fmt: skip
    one = running.audited(
        model.name, rows, prepared_of, cohort.classes, copies=model.copies, predict=of_copy,
        seed=options.seed, serious=found.serious, warnings=found.warnings, about=about,
    )  # fmt: skip
    one.where = occlusion.of(found.sample, inputs.with_air(predict, options.air))
    return one


def _notes(options, prepared):
    size = "x".join(map(str, prepared.masks.shape[1:]))
    notes = [f"Slices prepared at {size} px ({options.fit}), intensities {SCALES[options.scale]}"]
    if options.scale != "zscore":
        notes.append("Edits defined on z-scores (silhouette, refitted intensities) are left out")
    return notes


def _check_parts(model, found):
    parts = [page.element("h2", f"{model.name}: looked at, nothing measured"),
             page.bullets(found.facts)]  # fmt: skip
    parts += [page.element("p", f"Warning: {text}", "warning") for text in found.warnings]
    scales = found.scales.assign(accuracy=[f"{a:.0%}" for a in found.scales["accuracy"]])
    words = "Some slices with the outlines of their masks: do they lie on the tumors?"
    return [*parts, page.table(scales), page.picture(pictures.contact_sheet(found.sample), words)]


def _check_page(out, parts):
    if out is None:
        return None
    out.mkdir(parents=True, exist_ok=True)
    target = out / "check.html"
    target.write_text(page.page("Before the audit", parts), encoding="utf-8")
    return target
