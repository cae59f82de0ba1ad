"""Checkpoints of the authors of Bayesian Loss: VGG-19 as ``features``, three regression layers as ``reg_layer``."""

from skt_crowd.models.importing.key_map import KeyMap

_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)

KEY_MAP = KeyMap(
    "Bayesian Loss",
    "bl",
    {
        **{f"features.{index}": f"frontend.{index}" for index in _CONVOLUTIONS},
        "reg_layer.0": "regression.0",
        "reg_layer.2": "regression.2",
        "reg_layer.4": "output_layer",
    },
)
