"""Read a recipe from YAML, with overrides; every mistake becomes one line that names the file and the key."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from skt_crowd.errors import UsageError
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.settings import shown, validate


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = files("skt_crowd.recipes")
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def recipe_summaries() -> dict[str, tuple[str, str]]:
    """For each of ``recipe_names()`` its kind and the first sentence of the comment at its head.

    Example:
        >>> recipe_summaries()["demo_teacher"]
        ('train', 'The teacher of `skt demo`: 1/4-CSRNet, trained from scratch on 300 synthetic crowds.')
    """
    found = {}
    for name in recipe_names():
        _, text = _read(name)
        head = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
        sentence = " ".join(line.removeprefix("# ") for line in head).partition(". ")[0].rstrip(":.")
        found[name] = yaml.safe_load(text)["kind"], f"{sentence}."
    return found


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The validated recipe of a YAML file, or of a name out of ``recipe_names()``.

    Args:
        name_or_path: a file, or the name of a recipe of the package.
        overrides: ``section.key=value`` texts, the value in YAML, applied in order before validation.

    Raises:
        UsageError: the file is missing or not YAML, or a key or a value is not allowed; one line.

    Example:
        >>> load_recipe("demo_student", ["training.steps=5", "teacher.checkpoint=t.safetensors"]).training.steps
        5
    """
    source, text = _read(name_or_path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: {_yaml_problem(error)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{source}: expected sections such as model, data, training; got {shown(content)}")
    overridden = {_override(content, text) for text in overrides}
    return validate(Recipe, content, source, overridden)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out; ``load_recipe`` reads it back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def differing_keys(first: Recipe, second: Recipe) -> list[str]:
    """Dotted keys whose values differ, as ``training.steps (10 and 20)``."""
    a, b = dict(_flatten(first.model_dump())), dict(_flatten(second.model_dump()))
    return [
        f"{key} ({shown(a.get(key))} and {shown(b.get(key))})"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _read(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path).expanduser()
    name = str(name_or_path)
    if not path.exists() and name in recipe_names():
        resource = files("skt_crowd.recipes").joinpath(f"{name}.yaml")
        return name, resource.read_text(encoding="utf-8")
    try:
        return str(path), path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        known = recipe_names()
        near = difflib.get_close_matches(path.stem, known, n=3) or known
        raise UsageError(f"{path}: no such recipe file; recipes by name: {', '.join(near)}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"{path}: cannot read the recipe: {reason}") from error


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


def _override(content: dict[str, Any], text: str) -> str:
    """Put one ``a.b=value`` into the nested content and return its key."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--set {text}: expected section.key=value, for example training.steps=200")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {text}: the value is not YAML: {_yaml_problem(error)}") from error
    *sections, last = key.split(".")
    inside: dict[str, Any] = content
    for section in sections:
        if inside.get(section) is None:
            inside[section] = {}
        inside = inside[section]
        if not isinstance(inside, dict):
            raise UsageError(f"--set {text}: {section} is a value, not a section")
    inside[last] = parsed
    return key


def _flatten(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
