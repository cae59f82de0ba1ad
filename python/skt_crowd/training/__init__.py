"""Take a model through the steps of a run: optimiser, loop, checkpoints, metrics."""
