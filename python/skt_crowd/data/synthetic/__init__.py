"""Synthetic crowds: rendered images with exact head positions."""

from skt_crowd.data.synthetic.crowds import SyntheticCrowds, render_crowd

__all__ = ["SyntheticCrowds", "render_crowd"]
