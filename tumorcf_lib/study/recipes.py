"""Recipes of training that were tried for the cross-validation, on validation persons only."""

RECIPES: dict[str, dict] = {
    "early blocks and depthwise kernels frozen": {
        "frozen_blocks": 5, "freeze_depthwise": True, "patience": 10,
    },
    "mixup 0.3, stronger views, rate 1e-3, 15 epochs": {
        "mixup": 0.3, "augmentation": 1.75, "learning_rate": 1e-3, "epochs": 15, "patience": 15,
    },
    "128 px": {"size_px": 128},
    "128 px, norms learn, rate 2e-3": {
        "size_px": 128, "freeze_norms": False, "learning_rate": 2e-3, "patience": 10,
    },
    "norms learn, rate 2e-3": {"freeze_norms": False, "learning_rate": 2e-3, "patience": 10},
    "mixup 0.3": {"mixup": 0.3},
    "stronger views": {"augmentation": 1.75},
    "rate 1e-3": {"learning_rate": 1e-3},
    "no running mean of weights": {"ema_momentum": 0.0},
}
"""Name -> settings of ``config.Profile`` that differ from the profile's own."""
