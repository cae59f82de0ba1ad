"""Points from the two MATLAB layouts of crowd counting: ShanghaiTech's and UCF's."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from skt_crowd.data.points import checked_points
from skt_crowd.errors import SktError

_LAYOUTS = {
    "image_info": "ShanghaiTech: image_info{1}.location, (people, 2) [x, y]",
    "annPoints": "UCF_CC_50 and UCF-QNRF: annPoints, (people, 2) [x, y]",
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
    points = _load_variable(path, "annPoints")
    if not isinstance(points, np.ndarray):  # a sparse matrix
        raise SktError(f"{path}: expected {_LAYOUTS['annPoints']}, got a {type(points).__name__}")
    return checked_points(points, path)


def _load_variable(path: Path, wanted: str) -> Any:
    try:
        contents = scipy.io.loadmat(path)
    except FileNotFoundError:
        raise SktError(f"{path}: no such file") from None
    except NotImplementedError:
        raise SktError(f"{path}: a MATLAB 7.3 file; save it with save(..., '-v7')") from None
    except Exception as error:  # damaged files make the parser raise nearly anything
        cause = " ".join(str(error).split()) or type(error).__name__
        raise SktError(f"{path}: not a readable MATLAB file: {cause}") from error
    if wanted in contents:
        return contents[wanted]
    found = [name for name in contents if not name.startswith("__")]
    other = [layout for name, layout in _LAYOUTS.items() if name in found]
    hint = f"; that is the layout of {other[0]}" if other else ""
    raise SktError(
        f"{path}: expected {_LAYOUTS[wanted]}; the file's variables are: {', '.join(found) or 'none'}{hint}"
    )
