"""Recipes of training that were tried for the cross-validation, on validation persons only."""

RECIPES: dict[str, dict] = {
    "15 epochs": {"epochs": 15},
    "rate 1e-3": {"learning_rate": 1e-3},
    "no running mean of weights": {"ema_momentum": 0.0},
    "norms learn": {"freeze_norms": False},
}
"""Name -> settings of ``config.Profile`` that differ from the profile's own."""
