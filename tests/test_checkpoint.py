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
