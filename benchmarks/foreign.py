"""Heads with tumors of three kinds, and networks that read them or know nothing."""

import cv2
import numpy as np
import pandas as pd

from tumorcf_lib.data.cohort import Cohort

PX = 48
CLASSES = ("a", "b", "c")


def cohort(n, seed=0):
    """About n slices, three a patient; kind, place and size of a tumor go with the class."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:PX, :PX] - PX / 2
    slices, masks, labels, persons = [], [], [], []
    for p in range(n // 3):
        k = p % 3
        tall, wide = rng.uniform(18, 21), rng.uniform(15, 18)
        place = rng.normal([[-5, -3], [4, 6], [1, 0]][k], [3, 4])
        for _ in range(3):
            head = (y / tall) ** 2 + (x / wide) ** 2 < 1
            skull = head & ((y / (tall - 3)) ** 2 + (x / (wide - 3)) ** 2 > 1)
            image = head * (1 + 0.25 * cv2.GaussianBlur(rng.normal(size=(PX, PX)), (0, 0), 1.5))
            image[skull] += 0.8
            radius = max(2, rng.normal([3, 4, 2.5][k], 0.8))
            cy, cx = place + rng.normal(0, 1, 2)
            tumor = ((y - cy) ** 2 + (x - cx) ** 2 < radius**2) & head & ~skull
            tumor = tumor if tumor.sum() > 5 else y**2 + x**2 < 9
            image[tumor] += rng.normal([0.9, 0.6, 1.3][k], 0.1)
            slices.append(image.astype(np.float32))
            masks.append(tumor)
            labels.append(k)
            persons.append(f"P{seed}-{p}")
    names = [f"{seed}-{i}" for i in range(len(slices))]
    table = pd.DataFrame(
        {"slice_id": names, "label": labels, "patient_id": persons, "person_id": persons}
    )
    return Cohort("drawn", np.stack(slices), np.array(masks), table, CLASSES, "Drawn in a test.")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def tumor_reader(slices):
    """Finds what is brighter than tissue in the middle and tells it by brightness; unsure else."""
    middle = slices[:, 8:-8, 8:-8]
    blurred = np.stack([cv2.GaussianBlur(s, (3, 3), 0.8) for s in middle])
    peak = blurred.max(axis=(1, 2)) - 1
    distance = -(((peak[:, None] - [0.9, 0.6, 1.3]) / 0.12) ** 2)
    found = np.clip((peak - 0.38) / 0.1, 0, 1)[:, None]
    return softmax(found * np.maximum(distance, -8))


def random_network(rng, like):
    """Random weights: of pixels through a hidden layer, or of three layers of filters."""
    gain = np.exp(rng.uniform(-1, 2))
    if rng.random() < 0.5:
        first, last = rng.normal(size=(PX * PX, 32)) / PX, rng.normal(size=(32, 3)) / 6

        def logits(s):
            return np.tanh(s.reshape(len(s), -1) @ first) @ last

    else:
        kernels = rng.normal(size=(6, 7, 7)).astype(np.float32) / 7
        second, last = rng.normal(size=(6, 8)) / 2, rng.normal(size=(8, 3)) / 3

        def logits(s):
            maps = np.stack([[cv2.filter2D(one, -1, k)[::3, ::3] for k in kernels] for one in s])
            pooled = np.maximum(maps, 0).mean(axis=(2, 3))
            return np.maximum(pooled @ second, 0) @ last

    seen = logits(like)
    return lambda s: softmax((logits(s) - seen.mean(axis=0)) / (seen.std() + 1e-9) * gain)


def shuffled_labels(rng, cohort):
    """Each patient's label, dealt out anew over the patients."""
    names, owner = np.unique(cohort.persons, return_inverse=True)
    own = np.zeros(len(names), int)
    own[owner] = cohort.labels
    return rng.permutation(own)[owner]


def shuffled_network(rng, trained_on):
    """Fitted to labels that were shuffled over patients: ridge regression, or near neighbors."""
    y = np.eye(3)[shuffled_labels(rng, trained_on)]

    def small(s):
        return np.stack(
            [cv2.resize(one, (12, 12), interpolation=cv2.INTER_AREA) for one in s]
        ).reshape(len(s), -1)

    x = small(trained_on.slices)
    mean = x.mean(axis=0)
    if rng.random() < 0.5:
        kernel = (x - mean) @ (x - mean).T + 10.0 ** rng.uniform(-1, 2) * np.eye(len(x))
        weights = (x - mean).T @ np.linalg.solve(kernel, y - y.mean(axis=0))
        return lambda s: softmax(4 * (small(s) - mean) @ weights)

    def neighbors(s):
        far = (x**2).sum(axis=1) - 2 * small(s) @ x.T  # squared distance, but for a constant
        return (y[far.argsort(axis=1)[:, :7]].mean(axis=1) + 0.05) / 1.15

    return neighbors


# -- A small network as a model file: two layers of filters, maxima, a readout ----------------


def weights_of(rng, name, trained_on):
    """Random filters, and a readout: random, or fitted to labels, true or shuffled over patients.

    (8, 1, 5, 5), (24, 8, 3, 3), (3, 600), (3,): as ONNX and PyTorch order them.
    """
    first = rng.normal(size=(8, 1, 5, 5)) / 5
    second = rng.normal(size=(24, 8, 3, 3)) / 8
    x = _features(first, second, trained_on.slices)
    if name == "random weights":
        last = rng.normal(size=(x.shape[1], 3))
    else:
        is_shuffled = name == "shuffled labels"
        labels = shuffled_labels(rng, trained_on) if is_shuffled else trained_on.labels
        center, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
        z, y = (x - center) / spread, np.eye(3)[labels] - np.eye(3)[labels].mean(axis=0)
        last = z.T @ np.linalg.solve(z @ z.T + 30 * np.eye(len(z)), y) / spread[:, None]
    logits = x @ last
    gain = np.exp(rng.uniform(0, 1.5)) / logits.std()
    arrays = first, second, gain * last.T, -gain * logits.mean(axis=0)
    return [np.ascontiguousarray(array, np.float32) for array in arrays]


def _features(first, second, slices):
    """What the two layers make of slices, (n, 600), in the order (filter, height, width)."""

    def layer(x, kernels):
        side = kernels.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(2, 3))
        return np.maximum(
            np.einsum("nchwij,ocij->nohw", windows[:, :, ::2, ::2], kernels, optimize=True), 0
        )

    x = layer(layer(slices[:, None], first), second)  # (n, 24, 10, 10)
    return x.reshape(len(x), len(second), 5, 2, 5, 2).max(axis=(3, 5)).reshape(len(x), -1)


def write_onnx(weights, path):
    import onnx

    make = onnx.helper
    nodes = [
        make.make_node("Conv", ["x", "w0"], ["a"], strides=[2, 2]),
        make.make_node("Relu", ["a"], ["b"]),
        make.make_node("Conv", ["b", "w1"], ["c"], strides=[2, 2]),
        make.make_node("Relu", ["c"], ["d"]),
        make.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        make.make_node("Flatten", ["e"], ["f"]),
        make.make_node("Gemm", ["f", "w2", "w3"], ["z"], transB=1),
    ]
    kept = [onnx.numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)]
    number = onnx.TensorProto.FLOAT
    given = make.make_tensor_value_info("x", number, ["n", 1, PX, PX])
    answer = make.make_tensor_value_info("z", number, ["n", 3])
    graph = make.make_graph(nodes, "g", [given], [answer], kept)
    path, opsets = path.with_suffix(".onnx"), [make.make_opsetid("", 18)]
    onnx.save(make.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def write_keras(weights, path):
    import keras
    from keras import layers

    first, second, last, bias = weights
    model = keras.Sequential(
        [
            keras.Input((PX, PX, 1)),
            layers.Conv2D(8, 5, 2, activation="relu", use_bias=False),
            layers.Conv2D(24, 3, 2, activation="relu", use_bias=False),
            layers.MaxPool2D(2),
            layers.Permute((3, 1, 2)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    model.set_weights([first.transpose(2, 3, 1, 0), second.transpose(2, 3, 1, 0), last.T, bias])
    path = path.with_suffix(".keras")
    model.save(path)
    return path


def write_torch(weights, path):
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 24, 3, 2, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(600, 3),
    ).eval()
    for parameter, values in zip(model.parameters(), weights, strict=True):
        parameter.data = torch.from_numpy(values)
    path = path.with_suffix(".pt")
    torch.jit.trace(model, torch.zeros(1, 1, PX, PX)).save(str(path))
    return path


WRITERS = {"onnx": write_onnx, "keras": write_keras, "torch": write_torch}
