import hashlib
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

from tumorcf_lib.networks import backbones

REFERENCE = Path(__file__).parent / "data" / "efficientnet_lite0_logits.npz"


def grid(size):
    """The input the reference logits were made from: see the note beside the file."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return np.sin(0.05 * (c + 1) * x + 0.11 * y) * np.cos(0.03 * y - 0.4 * c)


@pytest.mark.parametrize("size", [224, 97])
def test_lite0_gives_the_logits_of_the_original_network(size):
    colors = keras.Input((size, size, 3))
    network = keras.Model(colors, backbones.efficientnet_lite0(colors, "imagenet"))
    maps = np.asarray(network(grid(size).astype(np.float32)[None]))
    tensors = backbones.read_state_dict(backbones._lite0_file(), backbones.LITE0_SHA256)
    ours = maps.mean(axis=(1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    with np.load(REFERENCE) as reference:
        np.testing.assert_allclose(ours[0], reference[f"logits_{size}"], atol=1e-4)


def test_slices_are_scaled_and_copied_to_three_channels_inside_the_model():
    model = backbones.build_backbone("efficientnet_lite0", 32, "imagenet")
    colors = keras.Input((32, 32, 3))
    bare = keras.Model(colors, backbones.efficientnet_lite0(colors, "imagenet"))
    slices = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    by_hand = np.repeat(slices * np.float32(0.45), 3, axis=-1)
    np.testing.assert_allclose(model(slices), bare(by_hand), atol=1e-4)


def test_a_file_of_other_bytes_is_refused_unread_and_named(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(backbones._lite0_file().read_bytes()[:-1])
    with pytest.raises(backbones.WeightsUnavailableError, match="w.pth, got 18826031 bytes of SHA"):
        backbones.read_state_dict(path, backbones.LITE0_SHA256)


def test_a_pickle_that_calls_a_function_is_refused_before_it_runs(tmp_path):
    for place in range(5):
        items = [pickle.dumps(item, protocol=2) for item in (0, 0, 0, {}, [])]
        items[place] = f"cos\nmkdir\n(V{tmp_path}/witness\ntR.".encode()  # calls os.mkdir
        content = b"".join(items)
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(pickle.UnpicklingError, match="mkdir is no part of a tensor"):
            backbones.read_state_dict(tmp_path / "w.pth", hashlib.sha256(content).hexdigest())
        assert not (tmp_path / "witness").exists()
