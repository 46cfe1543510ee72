"""The audit of one classifier: rows saved as they come, the null, the verdict."""

import hashlib
import itertools
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tumorcf_lib.edits import audit, plan
from tumorcf_lib.your_model import nulls, verdict

CHUNK = 32  # slices that are audited, saved and forgotten together
LOG_SECONDS = 30
N_NULL, N_RANDOM, N_COPIES = 150, 40, 20
NULL_BYTES = 2e8  # of edited slices that networks which know nothing are shown
TEXTS = ("slice_id", "patient_id", "person_id", "label", "edit", "infill", "flag", "reason")


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


def audited(name, rows, prepared_of, classes, *, copies=None, predict=None, seed=0,
            serious=(), warnings=(), about=None, n_random=None) -> Audited:  # fmt: skip
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
    copies : callable, optional
        From a generator to an endless series of classifiers with re-drawn weights.
    predict : callable, optional
        From such a classifier's raw function to a `predict`.
    seed : int
        Of the audit's sham places, and of the null.
    serious : sequence of str
        What forbids a verdict, in sentences.
    warnings : sequence of str
    about : dict, optional
        Provenance, shown on the page.
    n_random : int
        Random networks that the effect is compared with (default: `N_RANDOM`).
    """
    answers = verdict.answers_of(rows, classes)
    get = prepared_of if callable(prepared_of) else prepared_of.subset
    null = {}
    if answers.edited.any():
        null = null_of(answers, get, copies, predict, seed, n_random or N_RANDOM)
    word = verdict.judged(answers, null)
    if serious:
        word = verdict.Verdict(verdict.UNKNOWN, f"mend first: {serious[0]}", word.numbers)
    return Audited(name, rows, answers, word, list(warnings), about or {})


def null_of(answers, prepared_of, copies, predict, seed, n_random):
    """Answers of networks that know nothing, by kind, on some slices of the audit."""
    rng = np.random.default_rng([seed, 7])
    where = np.flatnonzero(answers.edited)
    one = prepared_of(where[:1]).slices[0].nbytes
    n = int(np.clip(NULL_BYTES / (3 * one), 24, N_NULL))
    at = where[nulls.chosen(answers.labels[where], answers.persons[where], n, rng)]
    cohort = prepared_of(at)
    images = _edited(cohort, seed)
    labels, persons = answers.labels[at], answers.persons[at]
    confidence = answers.original.max(axis=1).mean()

    def made(logits):
        original, removed, sham = nulls.matched(logits, confidence)
        return verdict.Answers(answers.classes, labels, persons, original, removed, sham[:, None])

    networks = nulls.random_networks(images, labels, persons, len(answers.classes), rng)
    found = {"random networks": [made(next(networks)) for _ in range(n_random)]}
    if copies is not None:
        found["copies with re-drawn weights"] = [
            made([_logits(predict(copy), stack) for stack in images])
            for copy in itertools.islice(copies(rng), N_COPIES)
        ]
    return found


def _edited(cohort, seed):
    """The slices as they are, without their tumor, and with one sham: three stacks."""
    edits = (plan.Edit("original"), plan.Edit("remove", "navier_stokes"),
             plan.Edit("sham", "navier_stokes", n_places=1))  # fmt: skip
    stacks = [[], [], []]
    for i in range(len(cohort)):
        key = seed, cohort.table["slice_id"].iat[i]
        made = plan.edits_of(cohort.slices[i], cohort.masks[i], edits, 1, key)
        for stack, (_, edited) in zip(stacks, made, strict=True):
            stack.append(edited)
    return [np.stack(stack) for stack in stacks]


def _logits(predict, slices, batch_size=32):
    parts = [predict(slices[i : i + batch_size].copy()) for i in range(0, len(slices), batch_size)]
    return np.log(np.maximum(np.concatenate(parts), 1e-7))


# -- Rows, saved as they come ------------------------------------------------


def rows_of(predict, n_slices, prepared_of, vanished, *, folder, key, edits, n_places, seed,
            batch_size) -> pd.DataFrame:  # fmt: skip
    """The audit's rows, in parts that are kept until all are there.

    Parameters
    ----------
    predict : callable
    n_slices : int
    prepared_of : callable
        From indices of slices to the prepared cohort of them.
    vanished : callable
        From a prepared cohort to the IDs of slices whose mask vanished in the resize.
    folder : Path
        Of the parts; removed by :func:`finished`.
    key : dict
        What the rows depend on: parts of another key, or of a classifier that answers
        otherwise, are not used.
    edits, n_places, seed, batch_size
        As in :func:`edits.audit.audit`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [np.arange(n_slices)[i : i + CHUNK] for i in range(0, n_slices, CHUNK)]
    own = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
    mark = folder / "key.txt"
    kept = mark.is_file() and mark.read_text(encoding="utf-8") == own
    kept = kept and _answers_alike(predict, prepared_of(chunks[0]), folder / "0.csv")
    if not kept:
        for path in folder.glob("*.csv"):
            path.unlink()
        mark.write_text(own, encoding="utf-8")
    log, parts = _Log(n_slices), []
    for k, chunk in enumerate(chunks):
        path = folder / f"{k}.csv"
        if not path.is_file():
            cohort = prepared_of(chunk)
            part = audit.audit(predict, cohort, edits=edits, n_places=n_places, seed=seed,
                               batch_size=batch_size)  # fmt: skip
            gone = part["slice_id"].isin(vanished(cohort)) & (part["reason"] == plan.EMPTY_MASK)
            size = "x".join(map(str, cohort.masks.shape[1:]))
            part.loc[gone, "reason"] = f"mask vanishes at {size} px"
            unfinished = path.with_suffix(".part")
            part.to_csv(unfinished, index=False)
            os.replace(unfinished, path)
        parts.append(read_rows(path))
        log.at(min((k + 1) * CHUNK, n_slices))
    log.end()
    return pd.concat(parts, ignore_index=True)


def finished(folder):
    """Remove the parts of an audit whose rows are written."""
    for path in [*Path(folder).glob("*.csv"), Path(folder) / "key.txt"]:
        path.unlink(missing_ok=True)
    Path(folder).rmdir()


def read_rows(path) -> pd.DataFrame:
    """Rows of an audit as they were written: a class or patient called "NA" stays so."""
    names = pd.read_csv(path, nrows=0).columns
    numbers = [name for name in names if name not in TEXTS]
    return pd.read_csv(
        path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False,
        na_values=dict.fromkeys(numbers, [""]),
    )  # fmt: skip


def _answers_alike(predict, cohort, path):
    """Whether the classifier still says what the first part of the rows has."""
    if not path.is_file():
        return False
    rows = read_rows(path)
    then = rows[rows["edit"] == "original"].iloc[:8]
    p = then[[name for name in rows if name.startswith("p_")]].to_numpy(float)
    return bool(np.abs(predict(np.array(cohort.slices[: len(p)])) - p).max() < 1e-3)


class _Log:
    """A bar in a terminal; elsewhere a line every 30 seconds."""

    def __init__(self, n):
        self.n, self.start, self.last = n, time.monotonic(), time.monotonic()
        self.live = sys.stderr.isatty()

    def at(self, done):
        now = time.monotonic()
        if not self.live and now - self.last < LOG_SECONDS:
            return
        self.last = now
        left = (now - self.start) / done * (self.n - done) / 60
        words = f"audited {done} of {self.n} slices, about {left:.1f} minutes left"
        print(f"\r{words}   " if self.live else words, end="" if self.live else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def end(self):
        if self.live:
            print(file=sys.stderr)
