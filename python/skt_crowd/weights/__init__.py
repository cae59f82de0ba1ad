"""Weights of models: files, checkpoints, weights published by others, and how a model starts."""

from skt_crowd.weights.checkpoints import load_model, save_model
from skt_crowd.weights.imagenet import initialize_from_vgg
from skt_crowd.weights.inheritance import inherit_filters
from skt_crowd.weights.initialization import ModelSettings

__all__ = ["ModelSettings", "inherit_filters", "initialize_from_vgg", "load_model", "save_model"]
