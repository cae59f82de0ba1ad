"""Weights that others published: one file for each family of names."""

from skt_crowd.models.importing.key_map import KeyMap
from skt_crowd.models.importing.recognition import find_rate, recognize

__all__ = ["KeyMap", "find_rate", "recognize"]
