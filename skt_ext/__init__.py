"""Fused losses and density maps of Structured Knowledge Transfer for PyTorch."""

from skt_ext import density, losses, ops
from skt_ext._library import build_info

__all__ = ["build_info", "density", "losses", "ops"]

ops.register()
