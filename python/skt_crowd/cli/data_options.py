"""``--data-option NAME=VALUE`` texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from skt_crowd.errors import UsageError


def parse_data_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """The texts as a dictionary, the values read as YAML.

    >>> parse_data_options(["part=B", "length=3"])
    {'part': 'B', 'length': 3}

    Raises:
        UsageError: a text without a name or an equals sign.
    """
    values: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--data-option {text}: expected NAME=VALUE, for example part=B")
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--data-option {text}: the value is not YAML") from error
    return values
