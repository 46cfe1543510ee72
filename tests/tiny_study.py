"""A study of a few phantom slices of 32 pixels, run as the notebooks run it."""

import dataclasses

import keras
import numpy as np
import pandas as pd
from keras import layers

from tumorcf_lib import config, rowfiles
from tumorcf_lib.data import cohort as cohorts, preprocess, split
from tumorcf_lib.networks import classifier
from tumorcf_lib.study import by_fold, controls, results, runtime

TINY = dataclasses.replace(
    config.get("smoke"),
    weights=None,
    size_px=32,
    phantom_patients=4,
    phantom_slices=2,
    epochs=2,
    n_places=2,
    infills=("telea", "mirror"),
    dilations_at_512=(16,),
    probe_size_px=32,
)


def small_network(profile, *, n_classes=3, seed=0, precision=None):
    """In place of a backbone: the same inputs, outputs and layer names, trained in seconds."""
    init = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(3)]
    slices = keras.Input((profile.size_px, profile.size_px, 1))
    x = layers.Conv2D(6, 3, strides=4, kernel_initializer=init[0], name="conv")(slices)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="features")(layers.ReLU()(x))
    x = layers.Dense(8, "relu", kernel_initializer=init[1], name="hidden")(x)
    x = layers.Dropout(0.2, seed=seed, name="dropout")(x)
    x = layers.Dense(n_classes, "softmax", kernel_initializer=init[2], name="probabilities")(x)
    return keras.Model(slices, x)


def allow_small_splits(patch):
    """Four persons a class cannot be balanced; the guard's own tests are elsewhere."""
    patch.setattr(by_fold.splits, "check", lambda table, **_: table)


def run_to_inputs(folder, profile=TINY):
    """Stages 01 and 02 of a tiny profile, as the notebooks make them."""
    study = runtime.Study(profile, 0, folder)
    cohort = runtime.load(profile)
    first = results.open_stage(study, "01_data")
    if profile.n_folds == 1:
        many = [split.hold_out(cohort.persons, cohort.labels, seed=0)]
    else:
        many = split.k_folds(cohort.persons, cohort.labels, n_folds=profile.n_folds, seed=0)
    shown = cohort.table[["slice_id", "person_id", "label"]]
    table = pd.concat([shown.assign(fold=fold, part=parts) for fold, parts in enumerate(many)])
    first.save_table(table, "split")
    first.save_table(cohorts.slice_table(cohort), "slices")
    first.finish()
    second = results.open_stage(study, "02_preprocessing")
    shape = (len(cohort), profile.size_px, profile.size_px)
    preprocess.prepare(
        cohort,
        profile.size_px,
        out_slices=second.create_array("inputs", shape, np.float32),
        out_masks=second.create_array("masks", shape, bool),
    )
    second.finish()
    return study


def run_to_networks(folder, profile=TINY, *, finetuned=False):
    """Stages 01 to 03, perhaps with the fine-tuned networks."""
    study = run_to_inputs(folder, profile)
    classifier.set_up(study.seed)  # the backbone's random weights come from the global seed
    third = results.open_stage(study, "03_training")
    prepared = by_fold.load_prepared(third)
    parts = third.read("01_data", "split")
    third.save_table(by_fold.train(third, prepared, parts), "history")
    if finetuned:
        third.save_table(controls.finetune(third, prepared, parts), "history_finetune")
    third.finish()
    return study


def run_to_rows(folder, profile=TINY, *, finetuned=False):
    """All stages that need a network, to predictions and the audit."""
    study = run_to_networks(folder, profile, finetuned=finetuned)
    rows_by_networks(study)
    return study


def rows_by_networks(study):
    """Predictions and audit of the tested slices, by whatever 03 holds."""
    fourth = results.open_stage(study, "04_evaluation")
    prepared = by_fold.load_prepared(fourth)
    fourth.save_rows(by_fold.predict(fourth, prepared, part="test"), "rows_predictions")
    fourth.finish()
    fifth = results.open_stage(study, "05_counterfactuals")
    by_fold.audit(fifth, prepared)
    fifth.finish()


def slices_tested(study):
    """IDs of the tested slices."""
    table = rowfiles.read_table(study.folder / "01_data" / "split.csv")
    return set(table.loc[table["part"] == "test", "slice_id"])
