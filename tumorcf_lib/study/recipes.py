"""Recipes of training to choose from, each tried on patients held out within a fold's training.

The tested patients of a fold have no part in any trial: a recipe is trained on the fold's training
part and scored on its validation part. The kept recipe is then refitted on both.
"""

RECIPES: dict[str, dict] = {
    "kept": {"validates": True},
    "running mean of weights": {"validates": True, "ema_momentum": 0.98},
    "early blocks frozen": {"validates": True, "frozen_blocks": 3},
    "192 px": {"validates": True, "size_px": 192},
}
"""Name -> settings of ``config.Profile`` that differ from the profile's own."""
