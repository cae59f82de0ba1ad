"""Crowd counting models by name, and the features inside them."""

from skt_crowd.errors import UsageError
from skt_crowd.models.base import CrowdModel, Tiling
from skt_crowd.models.bl import BL
from skt_crowd.models.can import CAN
from skt_crowd.models.csrnet import CSRNet
from skt_crowd.models.dssinet import DSSINet
from skt_crowd.models.mcnn import MCNN
from skt_crowd.models.sanet import SANet
from skt_crowd.models.taps import FeatureTaps

__all__ = [
    "BL",
    "CAN",
    "MCNN",
    "CSRNet",
    "CrowdModel",
    "DSSINet",
    "FeatureTaps",
    "SANet",
    "Tiling",
    "available_models",
    "build_model",
]

MODELS: dict[str, type[CrowdModel]] = {model.name: model for model in (BL, CAN, CSRNet, DSSINet, MCNN, SANet)}


def available_models() -> tuple[str, ...]:
    """Names that ``build_model`` takes, sorted."""
    return tuple(sorted(MODELS))


def build_model(name: str, channel_preservation_rate: float | str = 1.0) -> CrowdModel:
    """A freshly initialised crowd counting model, float32 on the CPU, in training mode.

    Args:
        name: one of ``available_models``.
        channel_preservation_rate: share of the channels kept in every layer, in (0, 1]; a number or a
            string such as "1/4".

    Raises:
        UsageError: an unknown name, or a rate outside (0, 1].

    Example:
        >>> build_model("csrnet", "1/4").label
        '1/4-csrnet'
    """
    if name not in MODELS:
        raise UsageError(f"model: expected one of {', '.join(available_models())}, got {name!r}")
    return MODELS[name](channel_preservation_rate)
