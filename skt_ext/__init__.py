"""Fused losses and density maps of Structured Knowledge Transfer for PyTorch."""

from skt_ext import density, losses
from skt_ext._library import build_info

__all__ = ["build_info", "density", "losses"]
