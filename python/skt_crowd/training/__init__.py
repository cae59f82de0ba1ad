"""Train a counter from a recipe: the recipe, the run folder, the loop, the report.

``skt_crowd.training.run.run_recipe`` carries a recipe out; it is not imported here because it needs the
distiller, which needs the recipe.
"""

from skt_crowd.training.recipe import Recipe
from skt_crowd.training.recipe_file import load_recipe

__all__ = ["Recipe", "load_recipe"]
