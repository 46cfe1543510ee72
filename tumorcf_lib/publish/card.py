"""``MODEL_CARD.md`` beside published weights: what they are, how good, and what for.

The text is ``templates/MODEL_CARD.md.j2``; every number is read from published files of the same
folder, so that the card can be rebuilt from them and compared. And
``figures/ro-crate-metadata.json``: the published folders as RO-Crate, from their manifests.
"""

import functools
import itertools
import json
import re
from pathlib import Path

from tumorcf_lib import config, steps
from tumorcf_lib.data import archives
from tumorcf_lib.publish import PublishError, sections
from tumorcf_lib.stats.rows import listed, of_patients
from tumorcf_lib.study import by_fold, side_studies
from tumorcf_lib.study.reference import NETWORKS, TOLERANCE
from tumorcf_lib.study.side_studies import MANIFEST, published_folders

FILE, NUMBERS, WEIGHTS = "MODEL_CARD.md", "numbers.json", by_fold.weights_name()
BACKBONES = {"efficientnet_lite0": "EfficientNet-Lite0", "resnet50": "ResNet-50"}
STARTS = {"imagenet": "ImageNet weights", None: "random weights"}
TABLES = "split performance classes confusion scores fall_to survival networks".split()
READ = ("split", "history", "history_finetune", *(f"table_{name}" for name in TABLES))
CRATE = "ro-crate-metadata.json"
DATASET = "https://doi.org/10.6084/m9.figshare.1512427"
FORMATS = {
    ".gz": "application/gzip",
    ".npz": "application/zip",
    ".json": "application/json",
    ".md": "text/markdown",
}
"""Files that the crate names, by their endings: rows, weights, manifests, model cards."""


def write(folder, manifest) -> bool:
    """Write the card into a folder of published files; False where no network is published.

    Of the manifest profile, seed and source are told.
    """
    if not (missing := lacking(folder)):
        steps.write_whole(Path(folder) / FILE, card(folder, manifest))
    return not missing


def lacking(folder) -> list[str]:
    """Files that a card needs and that the folder lacks."""
    files = [*(f"{name}.csv" for name in READ), NUMBERS, WEIGHTS]
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
        raise PublishError(f"{config.shown(folder)} holds no {MANIFEST}; name one under figures/.")
    manifest = steps.read_json(path)
    if not write(folder, manifest):
        raise PublishError(f"{config.shown(folder)} lacks {', '.join(lacking(folder))}.")
    hashes = manifest["sha256"] | {FILE: steps.file_sha256(folder / FILE)}
    manifest["sha256"] = dict(sorted(hashes.items()))
    steps.write_json(path, manifest)
    if folder.resolve().parent == config.FIGURES.resolve():
        write_crate()
    print(f"Rebuilt: {config.shown(folder / FILE)}")
    return folder / FILE


def export(folder, target) -> Path:
    """Every published network of a folder as a file that ``keras.Model.load_weights`` reads."""
    from tumorcf_lib.networks import classifier

    found = sorted(folder.glob("weights_*.npz"))
    if not found or not (folder / MANIFEST).is_file():
        raise PublishError(f"{config.shown(folder)} holds no published network.")
    manifest = steps.read_json(folder / MANIFEST)
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
    made = card(folder, steps.read_json(folder / MANIFEST)).splitlines()
    found = (folder / FILE).read_text(encoding="utf-8").splitlines()
    lines = enumerate(itertools.zip_longest(found, made), start=1)
    return [f"{FILE}, line {n}: {a!r}, from the tables {b!r}" for n, (a, b) in lines if a != b]


def card(folder, manifest) -> str:
    """The card's text; parameters as of :func:`write`."""
    folder, profile = Path(folder), manifest["profile"]
    read = functools.cache(side_studies.reader(folder))
    weights = ((kind, folder / by_fold.weights_name(kind)) for kind in NETWORKS)

    def row(name, **keys):
        """The one row of a table with these values."""
        chosen = sections.of_table(read, name, **keys)
        if len(chosen) != 1:
            raise PublishError(f"Expected one row with {keys} in {name}, got {len(chosen)}.")
        return chosen.iloc[0]

    text = sections.render(
        "MODEL_CARD.md.j2",
        profile=profile,
        backbone=f"{BACKBONES[profile['backbone']]} from {STARTS[profile['weights']]}",
        seed=manifest["seed"],
        source=manifest["source"],
        files=[
            (kind, path.name, path.stat().st_size / 1e6, steps.file_sha256(path)[:16])
            for kind, path in weights
            if path.is_file()
        ],
        numbers=steps.read_json(folder / NUMBERS)["01_data"],
        read=read,
        row=row,
        frozen=frozen_in_words(profile),
        tolerance=TOLERANCE,
        weights=WEIGHTS,
        dataset=archives.DATASET,
    )
    return of_patients(text)


def frozen_in_words(settings) -> str:
    """What keeps its pretrained state, of a profile's settings.

    >>> frozen_in_words({"freeze_norms": True, "frozen_blocks": 5, "freeze_depthwise": False})
    'Batch norms, the stem and the first 5 blocks keep their pretrained state'
    """
    blocks = settings["frozen_blocks"]
    kept = ["batch norms"] * settings["freeze_norms"]
    kept += ["depthwise kernels"] * settings["freeze_depthwise"]
    kept += ["the stem", f"the first {blocks} blocks"] * bool(blocks)
    told = f"{listed(kept)} keep their pretrained state" if kept else "every layer learns"
    return told.capitalize()


# -- the folders as RO-Crate ------------------------------------------------------


def write_crate() -> None:
    """Rebuild the file."""
    made = {folder.name: steps.read_json(folder / MANIFEST) for folder in published_folders()}
    steps.write_json(config.FIGURES / CRATE, metadata(made))


def metadata(manifests) -> dict:
    """The crate of published folders, {name: manifest}; their license, date and title are those
    of CITATION.cff."""
    text = (config.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    files = {
        name: [file for file in (*made["sha256"], MANIFEST) if Path(file).suffix in FORMATS]
        for name, made in manifests.items()
    }
    told = {"folders": manifests, "files": files, "formats": FORMATS, "dataset": DATASET}
    cited = dict(re.findall(r'^([\w-]+): "?(.*?)"?$', text, re.M))
    author = re.search(r'- name: "(.*)"', text)[1]
    return json.loads(sections.render("crate.json.j2", cited=cited, author=author, **told))
