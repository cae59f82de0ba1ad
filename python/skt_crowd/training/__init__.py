"""Carry a recipe out: the run folder, the loop, checkpoints, the report. ``run.run_recipe`` is the way in."""
