"""Points, regions and perspective maps from the MATLAB files of crowd counting data sets."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from skt_crowd.errors import SktError, one_line

_LAYOUTS = {
    "image_info": "ShanghaiTech: image_info{1}.location, (people, 2) [x, y]",
    "annPoints": "UCF_CC_50 and UCF-QNRF: annPoints, (people, 2) [x, y]",
    "loc": "Beijing-BRT: loc, (people, 2) [x, y]",
    "frame": "Mall: frame{i}.loc, (people, 2) [x, y]",
    "roi": "Mall: roi.mask, (H, W)",
    "pMapN": "Mall and Beijing-BRT: pMapN, (H, W) of weights above 0",
}


def read_image_info_points(path: Path) -> np.ndarray:
    """``image_info{1}.location`` of a ShanghaiTech file, (P, 2) float64 [x, y].

    Raises:
        SktError: the file is missing, damaged or of another layout; its ``number`` is not its number of
            points; or a coordinate is not finite.
    """
    info = _load_variable(path, "image_info")
    try:
        record = info[0, 0]
        location, number = record["location"][0, 0], record["number"][0, 0]
    except (IndexError, KeyError, ValueError, TypeError):
        raise SktError(
            f"{path}: its variable image_info is not laid out as expected ({_LAYOUTS['image_info']}, with "
            "image_info{1}.number beside it)"
        ) from None
    points = checked_points(np.asarray(location), path)
    stated = np.asarray(number)
    if stated.size != 1 or stated.dtype.kind not in "fiu" or stated.item() != len(points):
        raise SktError(f"{path}: holds {len(points)} points, but its image_info.number is {stated.tolist()}")
    return points


def read_ann_points(path: Path) -> np.ndarray:
    """``annPoints`` of a UCF_CC_50 or UCF-QNRF file, (P, 2) float64 [x, y].

    Raises:
        SktError: the file is missing, damaged or of another layout, or a coordinate is not finite.
    """
    return checked_points(_load_array(path, "annPoints"), path)


def read_loc_points(path: Path) -> np.ndarray:
    """``loc`` of a Beijing-BRT file, (P, 2) float64 [x, y]; integers are fine.

    Raises:
        SktError: the file is missing, damaged or of another layout, or a coordinate is not finite.
    """
    return checked_points(_load_array(path, "loc"), path)


def read_frame_points(path: Path) -> list[np.ndarray]:
    """``frame{i}.loc`` of Mall's ground truth, one (P, 2) float64 [x, y] for each frame.

    Raises:
        SktError: the file is missing, damaged or of another layout, or a coordinate is not finite.
    """
    frames = _load_array(path, "frame")
    points = []
    for number, frame in enumerate(frames.ravel(), start=1):
        try:
            location = frame["loc"][0, 0]
        except (IndexError, KeyError, ValueError, TypeError):
            raise SktError(
                f"{path}: frame {number} is not laid out as expected ({_LAYOUTS['frame']})"
            ) from None
        points.append(checked_points(np.asarray(location), f"{path}, frame {number}"))
    return points


def read_roi_mask(path: Path) -> np.ndarray:
    """``roi.mask`` of Mall, (H, W) bool, True where people are counted.

    Raises:
        SktError: the file is missing, damaged or of another layout, or the region is empty.
    """
    try:
        mask = np.asarray(_load_variable(path, "roi")["mask"][0, 0])
    except (IndexError, KeyError, ValueError, TypeError):
        raise SktError(f"{path}: its variable roi is not laid out as expected ({_LAYOUTS['roi']})") from None
    if mask.ndim != 2 or mask.dtype.kind not in "biuf":
        raise SktError(f"{path}: expected {_LAYOUTS['roi']}, got {mask.shape} of {mask.dtype}")
    if not mask.any():
        raise SktError(f"{path}: roi.mask is zero everywhere, so nobody would be counted")
    return np.asarray(mask != 0)


def read_perspective_weights(path: Path) -> np.ndarray:
    """``pMapN``, (H, W) float64: weights proportional to 1 / (area of a person there).

    Raises:
        SktError: the file is missing, damaged or of another layout, or a weight is not above 0.
    """
    weights = _load_array(path, "pMapN")
    if weights.ndim != 2 or weights.dtype.kind not in "iuf":
        raise SktError(f"{path}: expected {_LAYOUTS['pMapN']}, got {weights.shape} of {weights.dtype}")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise SktError(f"{path}: expected {_LAYOUTS['pMapN']}; {weights.min():g} is among them")
    return np.asarray(weights, np.float64)


def _load_array(path: Path, wanted: str) -> np.ndarray:
    value = _load_variable(path, wanted)
    if not isinstance(value, np.ndarray):  # a sparse matrix
        raise SktError(f"{path}: expected {_LAYOUTS[wanted]}, got a {type(value).__name__}")
    return value


def _load_variable(path: Path, wanted: str) -> Any:
    try:
        contents = scipy.io.loadmat(str(path))  # given a Path that is missing, it raises another error
    except FileNotFoundError:
        raise SktError(f"{path}: no such file") from None
    except NotImplementedError:
        raise SktError(f"{path}: a MATLAB 7.3 file; save it with save(..., '-v7')") from None
    except Exception as error:  # damaged files make the parser raise nearly anything
        raise SktError(f"{path}: not a readable MATLAB file: {one_line(error)}") from error
    if wanted in contents:
        return contents[wanted]
    found = [name for name in contents if not name.startswith("__")]
    other = [layout for name, layout in _LAYOUTS.items() if name in found]
    hint = f"; that is the layout of {other[0]}" if other else ""
    raise SktError(
        f"{path}: expected {_LAYOUTS[wanted]}; the file's variables are: {', '.join(found) or 'none'}{hint}"
    )


def checked_points(array: np.ndarray, source: Path | str) -> np.ndarray:
    """A numeric array of points as (P, 2) float64; an empty one of any shape means nobody.

    Raises:
        SktError: naming `source`, for another shape, another type, or a coordinate that is not finite.

    Example:
        >>> checked_points(np.array([[3, 4]], np.uint16), "a.mat")
        array([[3., 4.]])
    """
    if array.dtype.kind not in "fiu":
        raise SktError(f"{source}: expected numbers as coordinates, got an array of type {array.dtype}")
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise SktError(f"{source}: expected points as (people, 2) [x, y], got an array of {array.shape}")
    points = np.ascontiguousarray(array, dtype=np.float64)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        x, y = points[row]
        raise SktError(f"{source}: point {row + 1} of {len(points)} is ({x:g}, {y:g}), not a finite position")
    return points
