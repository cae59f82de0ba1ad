"""Points from CSV and JSON files that people write themselves."""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skt_crowd.errors import SktError


def read_points_csv(path: Path) -> np.ndarray:
    """The points of one image, (P, 2) float64: a header line ``x,y``, then one line for each person.

    Further columns are ignored; a header without lines below it means that nobody is in the image.

    Raises:
        SktError: naming file and line.
    """
    points = [_position(path, line, row) for line, row in _rows(path, ("x", "y"))]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def read_shared_points_csv(path: Path) -> dict[str, tuple[np.ndarray, int]]:
    """The points of many images by file name, each (P, 2) float64 with the first line that names the image.

    A header line ``image,x,y``, then one line for each person. An image without people has one line with
    its name and two empty fields: ``empty.jpg,,``. Further columns are ignored.

    Raises:
        SktError: naming file and line, also for a name that is not that of a file in the same folder
            (``../other.jpg``, ``/etc/x.jpg``).
    """
    points: dict[str, list[tuple[float, float]]] = {}
    first_lines: dict[str, int] = {}
    for line, row in _rows(path, ("image", "x", "y")):
        name = row["image"]
        if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
            raise SktError(f"{path}, line {line}: {name!r} is not the name of an image in {path.parent}")
        first_lines.setdefault(name, line)
        people = points.setdefault(name, [])
        if row["x"] or row["y"]:
            people.append(_position(path, line, row))
    return {
        name: (np.array(people, dtype=np.float64).reshape(-1, 2), first_lines[name])
        for name, people in points.items()
    }


def read_points_json(path: Path) -> np.ndarray:
    """The points of one image, (P, 2) float64: ``[[x, y], ...]`` or ``{"points": [[x, y], ...]}``.

    Raises:
        SktError: naming the file and the line or the point.
    """
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise SktError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, endless nesting
        raise SktError(f"{path}: not JSON that can be read: {error}") from None
    if isinstance(content, dict):
        content = content.get("points")
    if not isinstance(content, list):
        raise SktError(f'{path}: expected [[x, y], ...] or {{"points": [[x, y], ...]}}')
    points = [_json_position(path, number, entry) for number, entry in enumerate(content, start=1)]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines below the header as (line number, field by column), stripped; blank lines are skipped."""
    reader = csv.reader(io.StringIO(_text(path)), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if any(header.count(column) != 1 for column in columns):
            raise SktError(
                f"{path}, line 1: expected a header with the columns {','.join(columns)}, "
                f"got {','.join(header)[:80]!r}"
            )
        places = {column: header.index(column) for column in columns}
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) <= max(places.values()):
                raise SktError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, expected {','.join(header)}"
                )
            yield reader.line_num, {column: fields[place].strip() for column, place in places.items()}
    except csv.Error as error:
        raise SktError(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _position(path: Path, line: int, row: dict[str, str]) -> tuple[float, float]:
    return _number(path, line, "x", row["x"]), _number(path, line, "y", row["y"])


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SktError(f"{path}, line {line}: {column} is {text[:40]!r}, expected a finite number")
    return value


def _json_position(path: Path, number: int, entry: Any) -> tuple[float, float]:
    if isinstance(entry, list) and len(entry) == 2 and all(type(value) in (int, float) for value in entry):
        try:
            x, y = float(entry[0]), float(entry[1])
        except OverflowError:
            x = y = math.inf
        if math.isfinite(x) and math.isfinite(y):
            return x, y
    raise SktError(f"{path}: point {number} is {json.dumps(entry)[:40]}, expected two finite numbers [x, y]")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except FileNotFoundError:
        raise SktError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise SktError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise SktError(f"{path}: cannot be read: {error.strerror}") from error
