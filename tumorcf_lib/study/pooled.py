"""What the folds say together: ``figures/paper-lite-cv``, and what its figures show."""

import pandas as pd

from tumorcf_lib import config
from tumorcf_lib.config import CLASSES
from tumorcf_lib.study import pool, runtime, side_studies
from tumorcf_lib.study.side_studies import Drawn
from tumorcf_lib.tables.fold_scores import MR, OTHER_IDS, PLAIN, WITHOUT_MR
from tumorcf_lib.tables.folds import derive

NAME = "paper-lite-cv"
ANSWERED = ("original", "sham", "remove", "only", "blank")
SITES = [f"glioma, {site}" for site in (MR, OTHER_IDS)]


def plain(table):
    """The lines of the plain networks, whom the study's answer is about."""
    return table[table["network"] == PLAIN].drop(columns="network").reset_index(drop=True)


def publish(folder, target=None, *, profile=None, seed=0):
    """Pool the finished units, then replace ``figures/paper-lite-cv``."""
    profile, target = profile or config.get(NAME), target or config.published(NAME)
    units = pool.pool(runtime.Study(profile, 0, folder), published=target)
    return publish_pooled(units, folder, target, profile=profile, seed=seed)


def publish_pooled(units, folder, target, *, profile, seed=0):
    """Replace a published folder by what :func:`pool.pool` put together, which named ``units``."""
    seeds = units[units["network"] == PLAIN].groupby("training_seed")
    if not (seeds["fold"].nunique() == profile.n_folds).any():
        raise side_studies.UnfinishedStudyError(
            f"No seed has all {profile.n_folds} folds; run the missing ones by\n    {STUDY.command}"
        )
    told = {"profile": profile, "seed": seed, "source": runtime.describe(profile)}
    return STUDY.publish(folder, target, **told)


def shown_answer(table, groups=CLASSES, edits=ANSWERED, network=PLAIN):
    """Of :func:`tables.primary.still_right_table`, what the answer's chart shows."""
    own = table[(table["network"] == network) & table["group"].isin(groups)]
    own = own.rename(columns={"group": "label", "n_patients": "n_persons"})
    return pd.concat([own[own["edit"] == edit] for edit in edits], ignore_index=True)


def shown_sites(table):
    """The same for the two kinds of glioma patients, by networks shown all patients or not."""
    shown = []
    for network, words in ((PLAIN, "shown all patients"), (WITHOUT_MR, f"shown no {MR} patient")):
        own = shown_answer(table, SITES, (*ANSWERED[:3], "background"), network)
        shown += [own.assign(networks=words + ", " + own["n_seeds"].astype(str) + " a fold")]
    return pd.concat(shown) if len(shown[1]) else shown[0].drop(columns="networks")


def shown_scores(table):
    """Of :func:`tables.primary.estimates_table`, the scores of all slices and of the classes."""
    return plain(table[table["group"].isin(["all", *CLASSES])])


CONTROLS = {
    "energy": "Net-Drop by shams of like energy, seed 1, every slice the same.",
    "probes": "",
    "covariates": "Change of Net-Drop per SD of a tumor's area, contrast, depth; mean over seeds.",
    "robustness": "Net-Drop under every variant of the analysis, seed 1, every slice the same.",
    "networks": "Plain, hardened and looking networks, seed 1, every slice the same.",
}
"""Figures of controls, with a caption where a figure is of the one seed that was asked most."""

ANSWER = "scores.answer", ("table_still_right",)
STUDY = side_studies.SideStudy(
    name=NAME,
    files=("rows_predictions.csv.gz", "rows_edits_*.csv.gz", "history.csv", "units.csv"),
    optional=("rows_*.csv.gz",),
    derive=derive,
    figures={
        "fig_answer": Drawn(*ANSWER, lambda table: [shown_answer(table)]),
        "fig_sites": Drawn(
            *ANSWER,
            lambda table: [shown_sites(table)],
            caption="Glioma slices called right after each edit, by the form of the patients' IDs.",
        ),
        "fig_primary": Drawn("forests.primary", ("table_primary",), lambda table: [plain(table)]),
        "fig_folds": Drawn("studies.folds", ("table_folds", "table_elsewhere")),
        "fig_confusion": Drawn(
            "training.confusion",
            ("table_confusion",),
            caption="True against predicted class, seed 0: counts, and shares of each true class.",
        ),
        "fig_reliability": Drawn(
            "training.reliability",
            ("table_reliability",),
            caption="Accuracy against confidence, seed 0, and how many predictions each has.",
        ),
        "fig_headline": Drawn(
            "forests.headline", ("table_estimates",), lambda table: [shown_scores(table)]
        ),
        **{
            f"fig_{name}": Drawn(f"controls.{name}", (f"table_{name}",), caption=caption)
            for name, caption in CONTROLS.items()
        },
        "fig_maps": Drawn("controls.maps", ("table_saliency",)),
    },
    command="python -m tumorcf_lib train --profile paper-lite-cv",
)
