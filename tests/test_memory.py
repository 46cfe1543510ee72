import gc

import keras
import numpy as np
from tensorflow.python.framework.func_graph import FuncGraph

from tumorcf_lib.networks import memory


def train_and_drop():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "categorical_crossentropy")
    model.train_on_batch(np.ones((2, 4), np.float32), np.eye(3, dtype=np.float32)[:2])


def kept_graphs():
    gc.collect()
    return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())


def test_graphs_of_dropped_networks_are_given_back():
    memory.forget_networks()
    before = kept_graphs()
    train_and_drop()
    keras.backend.clear_session()
    assert kept_graphs() > before, "Keras now gives them back itself: drop memory.py"
    memory.forget_networks()
    assert kept_graphs() == before
