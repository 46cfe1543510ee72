"""Who is told "leans on the tumor"? Networks that know nothing, and networks that read the tumor.

    python -m benchmarks.audit_null                  functions and ONNX files, 180 and 2,000 slices
    python -m benchmarks.audit_null --kinds torch    TorchScript files (needs torch)

Writes ``results_audit_null.csv``, lines of other kinds are kept. Each network is judged as
``python -m tumorcf_lib audit`` judges it.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import foreign
from tumorcf_lib.edits import plan
from tumorcf_lib.your_model import adapter, models, nulls, verdict

RESULTS = Path(__file__).parent / "results_audit_null.csv"
KNOWS = {"random weights": 40, "shuffled labels": 40, "planted reader": 10}
KEY = ["kind", "slices", "network"]


class Scene:
    """A cohort with its edits made once, so that many networks can be judged on them."""

    def __init__(self, n):
        self.cohort = foreign.cohort(n)
        edits = (
            plan.Edit("original"),
            plan.Edit("remove", "navier_stokes"),
            plan.Edit("sham", "navier_stokes", n_places=2),
        )
        stacks, at = [], []
        for i in range(len(self.cohort)):
            made = plan.edits_of(self.cohort.slices[i], self.cohort.masks[i], edits, 2, (0, i))
            images = [edited for _, edited in made if edited is not None]
            if len(images) == 4:
                stacks.append(images)
                at.append(i)
        self.images = [np.stack(stack) for stack in zip(*stacks, strict=True)]
        self.owners = self.cohort.labels[at], self.cohort.persons[at]
        some = nulls.chosen(*self.owners, nulls.N_SLICES, np.random.default_rng(1))
        self.few = [stack[some] for stack in self.images[:3]]
        self.few_owners = tuple(values[some] for values in self.owners)
        networks = nulls.random_networks(
            self.few, *self.few_owners, len(foreign.CLASSES), np.random.default_rng([0, 7])
        )
        self.random = list(itertools.islice(networks, nulls.N_RANDOM))

    def judged(self, predict, n_resamples=500):
        """The verdict on a network."""
        original, removed, *shams = (_in_batches(predict, stack) for stack in self.images)
        answers = verdict.Answers(
            foreign.CLASSES, *self.owners, original, removed, np.stack(shams, axis=1)
        )
        confidence = original.max(axis=1).mean()
        null = nulls.as_answers(self.random, foreign.CLASSES, *self.few_owners, confidence)
        return verdict.judged(answers, null, n_resamples=n_resamples)


def _in_batches(predict, images, n=256):
    return np.concatenate([predict(images[k : k + n]) for k in range(0, len(images), n)])


def functions(scene, name, rng, trained_on):
    """A function of :mod:`foreign` that is, or is not, a reader of the tumor."""
    if name == "planted reader":
        return foreign.tumor_reader
    if name == "random weights":
        return foreign.random_network(rng, scene.cohort.slices[:60])
    return foreign.shuffled_network(rng, trained_on)


def counted(kind, n_slices, folder, most=None, scene=None):
    """Rows of the results: how many networks of each sort earn which word."""
    scene, trained_on, lines = scene or Scene(n_slices), foreign.cohort(600, seed=9), []
    for name, n in KNOWS.items():
        n = 1 if (kind, name) == ("function", "planted reader") else most or n
        for k in range(n):
            rng = np.random.default_rng([k, len(name)])
            if kind == "function":
                predict = functions(scene, name, rng, trained_on)
            else:
                weights = foreign.weights_of(rng, name, trained_on)
                model = models.load(str(foreign.WRITERS[kind](weights, folder / str(k))))
                predict = adapter.Probabilities(model.raw, foreign.CLASSES, "logits")
            found = scene.judged(predict)
            lines.append(
                {
                    "kind": kind,
                    "slices": n_slices,
                    "network": name,
                    "word": found.word,
                    "effect": found.numbers["effect"][0],
                    "accuracy": found.numbers["accuracy"][0],
                }
            )
            print(kind, n_slices, name, k, found, file=sys.stderr, flush=True)
    groups = pd.DataFrame(lines).groupby(KEY, sort=False)
    return (
        groups.agg(
            networks=("word", "size"),
            leans=("word", lambda words: (words == verdict.LEANS).sum()),
            does_not=("word", lambda words: (words == verdict.DOES_NOT).sum()),
            median_accuracy=("accuracy", "median"),
            median_effect=("effect", "median"),
            largest_effect=("effect", "max"),
        )
        .reset_index()
        .round(3)
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="benchmarks.audit_null",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ("function", *foreign.WRITERS)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds[:2])
    parser.add_argument("--slices", nargs="+", type=int, default=[180, 2000])
    parser.add_argument("--networks", type=int, help="of each sort (default: 40, 40 and 10)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    for kind, n in itertools.product(options.kinds, options.slices):
        with tempfile.TemporaryDirectory() as folder:
            made = counted(kind, n, Path(folder), options.networks)
        if options.out.is_file():
            made = pd.concat([pd.read_csv(options.out), made]).drop_duplicates(KEY, keep="last")
        made.sort_values(["kind", "slices"], kind="stable").to_csv(options.out, index=False)
    print(pd.read_csv(options.out).to_string(index=False))


if __name__ == "__main__":
    sys.exit(main())
