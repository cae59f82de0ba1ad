"""The stages of tools/prove_on_gpu.py, what they measure, and the page they end on."""
