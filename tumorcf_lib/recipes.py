"""Recipes of training that were tried for the cross-validation, on validation persons only."""

WEAK = {"augmentation": 1.0, "mixup": 0.0}

RECIPES: dict[str, dict] = {
    "10 epochs, rate 5e-4, weaker views, no mixup": {
        **WEAK, "epochs": 10, "learning_rate": 5e-4, "patience": 4,
    },
    "rate 5e-4": {"learning_rate": 5e-4},
    "no mixup": {"mixup": 0.0},
    "weaker views": {"augmentation": 1.0},
    "25 epochs": {"epochs": 25, "patience": 25},
    "no running mean of weights": {"ema_momentum": 0.0},
    "norms learn": {"freeze_norms": False},
}
"""Name -> settings of ``config.Profile`` that differ from the profile's own."""
