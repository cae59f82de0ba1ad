"""Train a counter from a recipe: the recipe, the run folder, the loop, the report."""
