"""Recipes: what a run may be told, how a recipe is read, and the recipes that come with the package."""

from skt_crowd.recipes.recipe import Recipe
from skt_crowd.recipes.recipe_file import load_recipe

__all__ = ["Recipe", "load_recipe"]
