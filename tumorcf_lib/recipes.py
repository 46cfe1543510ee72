"""Recipes of training that were tried for the cross-validation, on validation persons only."""

RECIPES: dict[str, dict] = {
    "rate 1e-3": {"learning_rate": 1e-3},
    "rate 2e-3": {"learning_rate": 2e-3},
    "mixup 0.3": {"mixup": 0.3},
    "stronger views": {"augmentation": 1.75},
    "mixup 0.3, stronger views, rate 1e-3, 15 epochs": {
        "mixup": 0.3, "augmentation": 1.75, "learning_rate": 1e-3, "epochs": 15,
    },
    "no running mean of weights": {"ema_momentum": 0.0},
    "norms learn": {"freeze_norms": False},
}
"""Name -> settings of ``config.Profile`` that differ from the profile's own."""
