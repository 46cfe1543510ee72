"""``MODEL_CARD.md`` beside published weights: what they are, how good, and what for.

The text is ``templates/MODEL_CARD.md.j2``; every number is read from published files of the same
folder, so that the card can be rebuilt from them and compared.
"""

import json
from pathlib import Path

import pandas as pd

from tumorcf_lib import config, rowfiles, steps
from tumorcf_lib.data import archives
from tumorcf_lib.publish import crate, sections, texts
from tumorcf_lib.stats.rows import of_patients
from tumorcf_lib.study import by_fold
from tumorcf_lib.study.reference import NETWORKS, TOLERANCE
from tumorcf_lib.study.side_studies import interval

FILE, MANIFEST, NUMBERS = "MODEL_CARD.md", "manifest.json", "numbers.json"
READ = (
    "split",
    "history",
    "history_finetune",
    "table_split",
    "table_performance",
    "table_classes",
    "table_confusion",
    "table_scores",
    "table_fall_to",
    "table_survival",
    "table_networks",
)
MEANINGS = {
    "": "as trained; the network that all tables without the word network are about",
    "hardened": "fine-tuned on slices with shams: holes of tumor shape, filled in, never at the "
    "tumor. A control of the audit",
    "looking": "fine-tuned to look for the class in the tumor only: flat targets where it is "
    "taken out, its class on other backgrounds. A control of the audit",
    "looking, with no tumor": "fine-tuned to answer *no tumor*, a further output, where it is "
    "taken out, and its class with shams, or elsewhere. A control of the audit",
}
SCORES = {
    "p_orig": "P of the true class",
    "delta_drop": "Delta-Drop (tumor taken out)",
    "sham_drop": "Sham-Drop (same shape, elsewhere)",
    "net_drop": "**Net-Drop**",
    "delta_focus": "Delta-Focus (tumor alone)",
}
BACKBONES = {"efficientnet_lite0": "EfficientNet-Lite0", "resnet50": "ResNet-50"}
STARTS = {"imagenet": "ImageNet weights", None: "random weights"}


class CardError(RuntimeError):
    """A folder from which no card can be made."""


def write(folder, profile, seed, source) -> bool:
    """Write the card into a folder of published files; False where no network is published.

    ``profile`` (a dict), ``seed`` and ``source`` are those of the manifest.
    """
    folder = Path(folder)
    if not (folder / by_fold.weights_name(0)).is_file() or lacking(folder):
        return False
    steps.write_whole(folder / FILE, card(folder, profile, seed, source))
    return True


def lacking(folder) -> list[str]:
    """Files that a card needs and that the folder lacks."""
    files = [*(f"{name}.csv" for name in READ), NUMBERS]
    return [name for name in files if not (Path(folder) / name).is_file()]


def renew(folder, h5=None) -> Path:
    """Rebuild the card of a published folder, and its hash in the manifest and the crate.

    With ``h5``, write the published networks into that folder as Keras's ``.weights.h5`` instead.
    """
    folder = Path(folder)
    if h5 is not None:
        return export(folder, Path(h5))
    path = folder / MANIFEST
    if not path.is_file():
        raise CardError(f"{config.shown(folder)} holds no {MANIFEST}; name one under figures/.")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not write(folder, manifest["profile"], manifest["seed"], manifest["source"]):
        needed = lacking(folder) or [by_fold.weights_name(0)]
        raise CardError(f"{config.shown(folder)} lacks {', '.join(needed)}.")
    hashes = manifest["sha256"] | {FILE: steps.file_sha256(folder / FILE)}
    manifest["sha256"] = dict(sorted(hashes.items()))
    steps.write_whole(path, json.dumps(manifest, indent=1) + "\n")
    if folder.resolve().parent == config.FIGURES.resolve():
        crate.write()
    print(f"Rebuilt: {config.shown(folder / FILE)}")
    return folder / FILE


def export(folder, target) -> Path:
    """Every published network of a folder as a file that ``keras.Model.load_weights`` reads."""
    from tumorcf_lib.networks import classifier

    found = sorted(folder.glob("weights_*.npz"))
    if not found or not (folder / MANIFEST).is_file():
        raise CardError(f"{config.shown(folder)} holds no published network.")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    target.mkdir(parents=True, exist_ok=True)
    for path in found:
        model = classifier.load_float16(config.Profile(**manifest["profile"]), path)
        model.save_weights(target / f"{path.stem}.weights.h5", overwrite=True)
        print(f"Written: {config.shown(target / f'{path.stem}.weights.h5')}")
    return target


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
    numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))["01_data"]
    kept = _row(read["history"], best=True)
    tuned = read["history_finetune"].groupby("network", sort=False).tail(1)
    parts, overall, falls = read["table_split"], read["table_performance"], read["table_fall_to"]
    removed, blank = falls[falls["edit"] == "remove"], falls[falls["edit"] == "blank"]
    called = blank.groupby("to", sort=False)["n"].sum()
    return of_patients(
        texts.render(
            "MODEL_CARD.md.j2",
            profile=profile,
            seed=seed,
            source=source,
            backbone=f"{BACKBONES[profile['backbone']]} from {STARTS[profile['weights']]}",
            files=_files(folder, profile["n_folds"]),
            split=_split(parts),
            counted={
                name: numbers[name]["value"] for name in ("n_slices", "n_patient_ids", "n_persons")
            },
            frozen=frozen_in_words(profile),
            kept=kept,
            n_epochs=len(read["history"]),
            tuned="; ".join(
                f"{row.network} {row.epoch} epochs, validation accuracy {row.val_accuracy:.3f}"
                for row in tuned.itertuples()
            ),
            performance=_performance(overall),
            by_class=_classes(read),
            n_tested=[
                _row(overall, level=level, metric="accuracy")["n"] for level in ("slice", "person")
            ],
            accuracy=[
                _row(overall, level=level, metric="accuracy")["value"]
                for level in ("slice", "person")
            ],
            audit=_audit(read["table_scores"]),
            survival=read["table_survival"]["sentence"],
            still=", ".join(
                f"{_row(removed, label=name, to=name)['n']} of "
                f"{removed.loc[removed['label'] == name, 'n'].sum()} {name}"
                for name in config.CLASSES
            ),
            empty=", ".join(f"{name} {called[name]}" for name in config.CLASSES),
            three=sections.three_networks(read["table_networks"]),
            tested=", ".join(
                f"{row.n_persons} with {row.label}"
                for row in parts[parts["part"] == "test"].itertuples()
            ),
            tolerance=TOLERANCE,
            weights=by_fold.weights_name(0),
            dataset=archives.DATASET,
        )
    )


def frozen_in_words(settings) -> str:
    """What keeps its pretrained state, of a profile's settings.

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


def _files(folder, n_folds):
    paths = [
        (network, folder / by_fold.weights_name(fold, network))
        for fold in range(n_folds)
        for network in NETWORKS
    ]
    rows = folder / "rows_networks.csv.gz"
    sees = rows.is_file() and "p_no tumor" in pd.read_csv(rows, nrows=0).columns
    meanings = MEANINGS | ({"looking": MEANINGS["looking, with no tumor"]} if sees else {})
    rows = [
        [
            f"`{path.name}`",
            f"{network or 'plain'}: {meanings[network]}",
            f"{path.stat().st_size / 1e6:.1f}",
            f"`{steps.file_sha256(path)[:16]}`",
        ]
        for network, path in paths
        if path.is_file()
    ]
    return sections.table(["file", "network", "MB", "SHA-256"], rows)


def _split(parts):
    rows = []
    for part, own in parts.groupby("part", sort=False):
        cells = [_row(own, label=name) for name in config.CLASSES]
        rows.append(
            [part, *(f"{row['n_persons']} patients, {row['n_slices']} slices" for row in cells)]
        )
    return sections.table(["part", *config.CLASSES], rows)


def _performance(overall):
    rows = [
        [
            metric,
            *(interval(_row(overall, level=level, metric=metric)) for level in ("slice", "person")),
        ]
        for metric in dict.fromkeys(overall["metric"])
    ]
    return sections.table(["", "slices", "patients"], rows)


def _classes(read):
    rows = []
    for name in config.CLASSES:
        own = [
            _row(read["table_classes"], level="slice", group=name, metric=metric)
            for metric in ("precision", "recall", "f1")
        ]
        called = _row(read["table_confusion"], true=name)
        counts = " / ".join(str(called[f"predicted {other}"]) for other in config.CLASSES)
        rows.append([name, *(interval(row) for row in own), counts])
    heads = ["slices", "precision", "recall", "F1", f"called {' / '.join(config.CLASSES)}"]
    return sections.table(heads, rows)


def _audit(scores):
    rows = [
        [
            words,
            *(interval(_row(scores, score=score, group=group)) for group in sections.GROUPS),
        ]
        for score, words in SCORES.items()
    ]
    return sections.table(["", *sections.GROUPS], rows)


def _row(table, **keys):
    """The one row with these values."""
    chosen = table[(table[list(keys)] == list(keys.values())).all(axis=1)]
    if len(chosen) != 1:
        raise CardError(f"Expected one row with {keys}, got {len(chosen)}.")
    return chosen.iloc[0]
