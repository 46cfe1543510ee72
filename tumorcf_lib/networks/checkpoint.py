"""State of a training after its last finished epoch, so that a killed one can go on."""

import hashlib
import json
import re

import keras
import numpy as np

from tumorcf_lib import steps

SETTINGS = tuple(
    "backbone weights size_px epochs warmup_epochs freeze_norms frozen_blocks freeze_depthwise "
    "patience batch_size learning_rate weight_decay ema_momentum label_smoothing focal_gamma "
    "weighing_alike dropout stochastic_depth augmentation mixup validates".split()
)
"""What of a profile decides a training."""


def fingerprint(profile, seed, training, validation) -> str:
    """Hash of all that decides a training: settings, seed, who is in which part, slices.

    Of the slices a spread of some thirty is read: enough to notice another cohort or
    another preprocessing without reading everything.
    """
    digest = hashlib.sha256()
    settings = profile.as_dict()
    digest.update(repr([seed, *(settings[name] for name in SETTINGS)]).encode())
    for part in (training, validation):
        digest.update(part.index.tobytes() + part.labels.tobytes())
        digest.update("\n".join(map(str, part.persons)).encode())
        for position in range(0, len(part), max(1, len(part) // 15)):
            digest.update(np.ascontiguousarray(part[[position]]).tobytes())
    return digest.hexdigest()


class Checkpoint:
    """The model's and the optimizer's state, history and best weights, kept in one file.

    A file of another training (another fingerprint) is ignored and then overwritten.
    """

    def __init__(self, folder, model, mark):
        self.path = folder / steps.CHECKPOINT
        self.model = model
        self.mark = mark
        self.history = []
        self.best_epoch = 0
        self._best = None
        self._optimizer = None

    @property
    def epoch(self) -> int:
        """The last finished epoch, 0 before the first."""
        return len(self.history)

    def read(self) -> bool:
        """Go to the stored state; False if there is none of this training.

        A file that is cut off or changed is none: nothing of it is taken, and that is said.
        """
        if not self.path.is_file():
            return False
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                if str(stored["mark"]) != self.mark:
                    return False
                history = json.loads(str(stored["history"]))
                best_epoch = int(stored["best_epoch"])
                groups = (_group(stored, name) for name in ("model", "best", "optimizer"))
                state, best, optimizer = groups
            if not _fit(state, self.model.variables):
                raise ValueError("other arrays than the model has")
        except steps.DAMAGE:
            print(f"{self.path} is damaged: this training begins anew.", flush=True)
            return False
        self.history, self.best_epoch = history, best_epoch
        self._best, self._optimizer = best, optimizer
        _assign(self.model.variables, state)
        return True

    def restore_optimizer(self, optimizer):
        """Give the optimizer its stored state, once, if it has the same variables."""
        if self._optimizer is not None and _fit(self._optimizer, optimizer.variables):
            _assign(optimizer.variables, self._optimizer)
        self._optimizer = None

    def record(self, scores, optimizer, weights, *, store=True):
        """Add an epoch, note whether its validated weights are the best, store everything.

        Epochs that are not stored are repeated after a kill.
        """
        before = self.history[self.best_epoch - 1] if self._best else {}
        lowest, loss = before.get("val_loss", np.nan), scores.get("val_loss", np.nan)
        # Without validation there is no loss to compare: the last epoch is kept. A loss that is
        # no number, of weights that ran away, never follows one that is.
        if np.isnan(lowest) or loss < lowest:
            self.best_epoch = self.epoch + 1
            self._best = [np.array(weight) for weight in weights]
        self.history.append(scores)
        if not store:
            return
        arrays = _named("model", self.model.variables) | _named("best", self._best)
        arrays |= _named("optimizer", optimizer.variables)
        arrays |= {"mark": self.mark, "history": json.dumps(self.history)}
        with steps.being_written(self.path) as unfinished:
            np.savez(unfinished, best_epoch=self.best_epoch, **arrays)

    def restore_best(self):
        """Give the model the weights of its best epoch."""
        self.model.set_weights(self._best)


def _named(group, variables):
    arrays = (keras.ops.convert_to_numpy(variable) for variable in variables)
    return {f"{group}_{number:04d}": array for number, array in enumerate(arrays)}


def _group(stored, group):
    names = sorted(name for name in stored.files if re.fullmatch(rf"{group}_\d+", name))
    return [stored[name] for name in names]


def _fit(arrays, variables):
    """Whether stored arrays are a value for each variable."""
    return [array.shape for array in arrays] == [tuple(v.shape) for v in variables]


def _assign(variables, arrays):
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
