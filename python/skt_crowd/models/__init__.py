"""Crowd counters, their weights, and the features inside them."""

from skt_crowd.models.base import CrowdCounter
from skt_crowd.models.bl import BL
from skt_crowd.models.can import CAN
from skt_crowd.models.checkpoints import load_model, save_model
from skt_crowd.models.csrnet import CSRNet
from skt_crowd.models.dssinet import DSSINet
from skt_crowd.models.inheritance import inherit_filters
from skt_crowd.models.initialization import initialize_from_vgg
from skt_crowd.models.mcnn import MCNN
from skt_crowd.models.registry import available_models, build_model
from skt_crowd.models.sanet import SANet
from skt_crowd.models.taps import FeatureTaps
from skt_crowd.models.tiling import Tiling

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
    "inherit_filters",
    "initialize_from_vgg",
    "load_model",
    "save_model",
]
