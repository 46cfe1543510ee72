"""A study of a few phantom slices of 32 pixels, run as the notebooks run it."""

import contextlib
import dataclasses
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from tumorcf_lib import config, rowfiles
from tumorcf_lib.data import cohort as cohorts, preprocess, split as splits
from tumorcf_lib.networks import classifier
from tumorcf_lib.study import by_fold, controls, results, runtime

SMALL = {"weights": None, "size_px": 32, "phantom_patients": 4, "phantom_slices": 2, "epochs": 2}
SMALL |= {"n_places": 2, "infills": ("telea", "biharmonic"), "dilations_at_512": (16,)}
TINY = dataclasses.replace(config.get("smoke"), **SMALL, probe_size_px=32)


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


@contextlib.contextmanager
def small(*, networks=True):
    """Let splits of a few persons pass (test_split tests the guard), and make networks small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "check", lambda table, **_: table)
        if networks:
            patch.setattr(classifier, "build", small_network)
        yield


def run_to_inputs(folder, profile=TINY):
    """Stages 01 and 02 of a tiny profile, as the notebooks make them."""
    study, cohort = runtime.Study(profile, 0, folder), runtime.load(profile)
    first = results.open_stage(study, "01_data")
    who = cohort.table["slice_id"], cohort.persons, cohort.labels
    first.save_table(splits.split_table(*who, n_folds=profile.n_folds, seed=0), "split")
    first.save_table(cohorts.slice_table(cohort), "slices")
    first.finish()
    second = results.open_stage(study, "02_preprocessing")
    shape = (len(cohort), profile.size_px, profile.size_px)
    out = {"out_slices": second.create_array("inputs", shape, np.float32)}
    out |= {"out_masks": second.create_array("masks", shape, bool)}
    preprocess.prepare(cohort, profile.size_px, **out)
    second.finish()
    return study


def run_to_rows(folder, profile=TINY, *, finetuned=False):
    """All stages that need a network, perhaps with the fine-tuned ones, to rows."""
    study = run_to_inputs(folder, profile)
    classifier.set_up(study.seed)  # the backbone's random weights come from the global seed
    third = results.open_stage(study, "03_training")
    prepared, split = by_fold.load_prepared(third), third.read("01_data", "split")
    third.save_table(by_fold.train(third, prepared, split), "history")
    if finetuned:
        third.save_table(controls.finetune(third, prepared, split), "history_finetune")
    third.save_number("validation_accuracy", 0.5, low=0.25, high=0.75, n=4, unit=" persons")
    third.finish()
    rows_by_networks(study)
    return study


def rows_by_networks(study):
    """Predictions and audit of the tested slices, by whatever 03 holds."""
    fourth = results.open_stage(study, "04_evaluation")
    prepared = by_fold.load_prepared(fourth)
    fourth.rows("rows_predictions", lambda: by_fold.predict(fourth, prepared, part="test"))
    fourth.finish()
    fifth = results.open_stage(study, "05_counterfactuals")
    by_fold.audit(fifth, prepared)
    fifth.finish()


def copied(study, folder):
    """A study in a copy of its folder, to change."""
    shutil.copytree(study.folder, folder)
    return dataclasses.replace(study, folder=folder)


def slices_tested(study):
    """IDs of the tested slices."""
    table = rowfiles.read_table(study.folder / "01_data" / "split.csv")
    return set(table.loc[table["part"] == "test", "slice_id"])
