import keras
import numpy as np
from tiny_heads import same

from tumorcf_lib.networks.checkpoint import Checkpoint


def network(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(30), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_a_damaged_file_is_none_and_leaves_the_model_as_it_was(tmp_path, capsys):
    first, model = network(seed=1), network(seed=2)
    state = Checkpoint(tmp_path, first, "mark")
    state.record({"val_loss": 0.5}, first.optimizer, first.get_weights())
    path, before = state.path, model.get_weights()
    whole = path.read_bytes()
    middle = whole.index(b"model_0000.npy") + 400
    other = bytes([whole[middle] ^ 255])
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    for damage in (
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(whole[:middle] + other + whole[middle + 1 :]),
        lambda: np.savez(path, **{name: kept[name] for name in set(kept) - {"model_0001"}}),
        lambda: np.savez(path, **kept | {"model_0001": np.zeros(7)}),
    ):
        damage()
        state = Checkpoint(tmp_path, model, "mark")
        assert not state.read() and state.epoch == 0
        assert all(same(model.get_weights(), before))
        assert "checkpoint.npz is damaged: this training" in capsys.readouterr().out


def test_an_epoch_whose_validation_loss_is_no_number_is_never_the_best(tmp_path):
    model = network(seed=1)
    state = Checkpoint(tmp_path, model, "mark")
    for loss, level in ((0.9, 1.0), (0.3, 2.0), (np.nan, np.nan)):
        best = [np.full(w.shape, level) for w in model.get_weights()]
        state.record({"val_loss": loss}, model.optimizer, best, store=False)
    state.restore_best()
    assert state.best_epoch == 2 and all((weight == 2).all() for weight in model.get_weights())


def test_whichever_bit_of_the_directory_is_changed_the_file_is_damaged_and_nothing_is_raised(
    tmp_path,
):
    model = network(seed=1)
    state = Checkpoint(tmp_path, model, "mark")
    state.record({"val_loss": 0.5}, model.optimizer, model.get_weights())
    whole = state.path.read_bytes()
    for at in range(whole.rindex(b"PK\x01\x02"), len(whole)):
        for bit in (1, 32):
            changed = bytes([whole[at] ^ bit])
            state.path.write_bytes(whole[:at] + changed + whole[at + 1 :])
            Checkpoint(tmp_path, model, "mark").read()
