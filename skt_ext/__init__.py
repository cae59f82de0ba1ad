"""Fused losses and density maps of Structured Knowledge Transfer for PyTorch."""
