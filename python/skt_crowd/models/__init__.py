"""Crowd counting models by name, and the features inside them."""

from skt_crowd.errors import UsageError
from skt_crowd.models.base import CrowdCounter, Tiling
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
    "CrowdCounter",
    "DSSINet",
    "FeatureTaps",
    "SANet",
    "Tiling",
    "available_models",
    "build_model",
]

MODELS: dict[str, type[CrowdCounter]] = {
    model.name: model for model in (BL, CAN, CSRNet, DSSINet, MCNN, SANet)
}


def available_models() -> tuple[str, ...]:
    """Names that :func:`build_model` takes, sorted."""
    return tuple(sorted(MODELS))


def build_model(name: str, channel_preservation_rate: float | str = 1.0) -> CrowdCounter:
    """A freshly initialised crowd counter, float32 on the CPU, in training mode.

    Args:
        name: one of :func:`available_models`.
        channel_preservation_rate: share of the channels kept in every layer, in (0, 1]; a number or a
            string such as "1/4".

    >>> build_model("csrnet", "1/4").label
    '1/4-csrnet'

    Raises:
        UsageError: an unknown name, or a rate outside (0, 1].
    """
    if name not in MODELS:
        raise UsageError(f"model: expected one of {', '.join(available_models())}, got {name!r}")
    return MODELS[name](channel_preservation_rate)
