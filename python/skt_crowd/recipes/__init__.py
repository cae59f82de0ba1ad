"""Recipes: what a run may be told, how a recipe is read and run, and the report of a run."""

from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import load_recipe

__all__ = ["Recipe", "load_recipe"]
