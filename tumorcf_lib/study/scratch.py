"""ResNet-50 from random weights on the real slices, as far as some minutes carry it.

The paper's network starts from ImageNet weights (profile "paper"). Where those cannot be had,
the same architecture can still be trained from nothing. What comes of it is labeled for what it
is: it says how far random weights and few minutes go, and nothing about the paper's network.
"""

from dataclasses import replace

import numpy as np

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import preprocess, split as splits
from tumorcf_lib.study import by_fold, runtime, side_studies, unit
from tumorcf_lib.tables import derived

NAME = "resnet50-scratch"
PROFILE = replace(
    config.get("paper"),
    name=NAME,
    purpose="ResNet-50 from random weights, not the paper's network",
    weights=None,
    size_px=128,
    epochs=10,
    warmup_epochs=0,
    batch_size=16,
    learning_rate=1e-3,
    freeze_norms=False,  # there is no pretrained state to keep
    # Norms follow the last step, so a mean over steps that still move far does not fit them.
    ema_momentum=0.0,
)
"""Recipe of :func:`run`: about 20 minutes on 2 cores. The split is that of "paper-lite"."""

SETTINGS = "settings.json"
PARTS = {"validation": "rows_validation.csv.gz", "test": "rows_predictions.csv.gz"}


def run(folder, profile=PROFILE, *, minutes, seed=0):
    """Train until the minutes or the schedule are over, then predict with the best epoch.

    Called again with the same profile, seed and device it goes on after its last finished epoch,
    with more minutes. The learning rate follows the whole schedule of ``profile.epochs``, so a
    training that is cut short ends at a high rate. No epoch is begun that would probably end later,
    but for the first."""
    from tumorcf_lib.networks import classifier

    device = f"{classifier.set_up(seed)}, {classifier.choose_precision(profile.backbone)}"
    own = _unit(folder, profile, seed, device)
    trained_in = steps.begin(own.folder / unit.NETWORK, own.depends_on)
    is_over = unit.fit(own, trained_in, minutes=minutes)
    if is_over:
        steps.seal(trained_in)
    predict = unit.predictor(profile, trained_in / unit.WEIGHTS)
    for part, file in PARTS.items():
        asked = own.part(part)
        rowfiles.write_table(unit.prediction_rows(asked, predict(asked.slices)), folder / file)
    settings = {"profile": profile.as_dict(), "seed": seed, "source": own.prepared.source}
    steps.write_json(folder / SETTINGS, settings)
    history = rowfiles.read_table(trained_in / unit.HISTORY).assign(device=device)
    rowfiles.write_table(history, folder / "history.csv")
    ended = "its schedule is over" if is_over else "run it again to go on"
    print(f"{label(history)}: {len(history)} of at most {profile.epochs} epochs, {ended}.")


def _unit(folder, profile, seed, device):
    """The unit of a profile and seed: on the split that notebook 01 draws."""
    cohort = runtime.load(profile)
    prepared = preprocess.prepare(cohort, profile.size_px)
    who = cohort.table["slice_id"], cohort.persons, cohort.labels
    parts = splits.split_table(*who, n_folds=1, seed=profile.split_seed)["part"].to_numpy(str)
    inputs = steps.sha256(np.ascontiguousarray(prepared.slices).data)
    made_of = {"inputs": inputs, "parts": parts.tolist(), "device": device}
    depends_on = by_fold.training_depends(profile, seed, **made_of)
    return unit.Unit(folder / f"seed{seed}", profile, prepared, parts, seed, depends_on)


def label(history) -> str:
    """What every published table of this study says it is.

    Examples
    --------
    >>> import pandas as pd
    >>> label(pd.DataFrame({"seconds": [600.0, 615.0]}))
    "ResNet-50 from random weights, 20.2 minutes, not the paper's network"
    """
    minutes = history["seconds"].sum() / 60
    return f"ResNet-50 from random weights, {minutes:.1f} minutes, not the paper's network"


def derive(read, n_resamples):
    """Every table by its name, each with a column that says which network it is about."""
    rows = read("rows_predictions"), read("rows_validation")
    made = derived.evaluation(*rows, n_resamples)
    network = label(read("history"))
    return {name: table.assign(network=network) for name, table in made.items()}


def _about(folder):
    """Profile, seed and source as :func:`run` noted them, with the label."""
    made = steps.read_json(folder / SETTINGS)
    name = label(rowfiles.read_table(folder / "history.csv"))
    profile = config.Profile(**made["profile"] | {"purpose": name})
    return {"profile": profile, "seed": made["seed"], "source": f"{name}. {made['source']}"}


STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_validation.csv.gz", "history.csv"),
    derive=derive,
    command="python -m tumorcf_lib scratch --minutes 20",
    about=_about,
    figures={"fig_learning_curves": side_studies.Drawn("training.learning_curves", ("history",))},
    tag=lambda read: label(read("history")),
)
