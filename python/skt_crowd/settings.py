"""The base class of every section of a recipe, and its errors, one line each."""

import difflib
from collections.abc import Collection, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skt_crowd.errors import UsageError

Weight = Annotated[float, Field(ge=0)]
SettingsType = TypeVar("SettingsType", bound="Settings")


class Settings(BaseModel):
    """A section of a recipe: frozen, without unknown keys, without NaN or infinity.

    Raises:
        UsageError: an unknown key, or a value that is not allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_first_problem(error, type(self), type(self).__name__)) from error

    # A section inside another is validated without this __init__, so that an error keeps its whole path.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def validate(
    kind: type[SettingsType], content: dict[str, Any], source: str, overridden: Collection[str] = ()
) -> SettingsType:
    """A section from a nested dictionary.

    Args:
        kind: the section's class.
        content: its keys and values.
        source: where they are from; the message of a mistake begins with it.
        overridden: dotted keys that ``--set`` gave; a mistake in one of them names ``--set`` instead.

    Raises:
        UsageError: an unknown key, or a value that is not allowed.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(_first_problem(error, kind, source, overridden)) from error


def _first_problem(
    error: ValidationError, kind: type[Settings], source: str, overridden: Collection[str] = ()
) -> str:
    """One of pydantic's findings as ``source: key: what was expected, what was given``, and how many more."""
    findings = error.errors(include_url=False)
    # A misspelt key is found twice, as unknown and as missing; the first says more.
    finding = min(findings, key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in finding["loc"])
    where = f"--set {key}" if key in overridden else f"{source}: {key}" if key else source
    if finding["type"] == "extra_forbidden":
        problem = f"unknown key; {_near(kind, key)}"
    elif finding["type"] == "missing":
        problem = "this key is missing"
    elif finding["type"] == "value_error":
        problem = str(finding["ctx"]["error"]).removeprefix(f"{key.rpartition('.')[2]}: ")
    else:
        expected = finding["msg"].replace("Input should be", "expected", 1)
        problem = f"{expected}, got {shown(finding['input'])}"
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{where}: {problem}{more}"


def _near(kind: type[Settings], key: str) -> str:
    """Keys that may have been meant by an unknown one."""
    section, _, last = key.rpartition(".")
    known = list(_keys(kind))
    siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == section]
    close = [f"{section}.{k}" if section else k for k in difflib.get_close_matches(last, siblings, n=2)]
    elsewhere = [k for k in known if k.rpartition(".")[2] == last]
    if close or elsewhere:
        return f"did you mean {' or '.join(dict.fromkeys([*close, *elsewhere]))}?"
    return f"keys here: {', '.join(siblings)}" if siblings else "no such section"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key a section may have, those of its own sections included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from _keys(candidate, f"{prefix}{name}.")


def shown(value: Any) -> str:
    """A value as short text on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
