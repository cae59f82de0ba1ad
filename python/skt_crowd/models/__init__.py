"""Crowd counters, their weights, and the features inside them."""

from skt_crowd.models.base import CrowdCounter
from skt_crowd.models.checkpoints import load_model, save_model
from skt_crowd.models.csrnet import CSRNet
from skt_crowd.models.inheritance import inherit_filters
from skt_crowd.models.initialization import initialize_from_vgg16
from skt_crowd.models.registry import available_models, build_model
from skt_crowd.models.taps import FeatureTaps

__all__ = [
    "CSRNet",
    "CrowdCounter",
    "FeatureTaps",
    "available_models",
    "build_model",
    "inherit_filters",
    "initialize_from_vgg16",
    "load_model",
    "save_model",
]
