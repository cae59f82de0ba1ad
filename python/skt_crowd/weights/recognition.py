"""Recognise whose weights a file holds, and of which width, by names and shapes."""

from collections.abc import Mapping
from functools import cache

import torch

from skt_crowd.errors import SktError
from skt_crowd.models import available_models, build_model
from skt_crowd.models.rate import scaled_width
from skt_crowd.weights.key_maps import BAYESIAN_LOSS, DSSINET, MCNN, SKT_STUDENT, KeyMap

# Published CSRNet, CAN and SKT teachers use the same names as the models here.
KEY_MAPS = (
    *(KeyMap("skt_crowd", name) for name in available_models()),
    BAYESIAN_LOSS,
    DSSINET,
    MCNN,
    SKT_STUDENT,
)

LEAST_LIKENESS = 0.5
NARROW = 1 / 64  # names are the same at every width
LARGEST_DENOMINATOR = 64


def recognize(weights: Mapping[str, torch.Tensor], origin: str) -> KeyMap:
    """The key map whose names fit those of ``weights`` best.

    Raises:
        SktError: no model has even half of the names; ``origin`` says where the weights are from.
    """
    likeness = {key_map: key_map.likeness(weights, _shapes(key_map.model, NARROW)) for key_map in KEY_MAPS}
    best = max(likeness, key=lambda key_map: likeness[key_map])
    if likeness[best] < LEAST_LIKENESS:
        names = sorted(weights)
        found = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "") if names else "nothing"
        raise SktError(
            f"{origin}: not the weights of a known model ({', '.join(available_models())}); found {found}"
        )
    return best


def find_rate(model: str, weights: Mapping[str, torch.Tensor], origin: str) -> float:
    """The channel preservation rate with the smallest denominator that gives every width in ``weights``.

    Args:
        model: a name of ``available_models``.
        weights: under our names.
        origin: where they are from, for messages.

    Raises:
        SktError: there is none.
    """
    shapes = _shapes(model, 1.0)
    widths = {
        (shapes[name][0], tensor.shape[0])
        for name, tensor in weights.items()
        if tensor.ndim == 4 and len(shapes.get(name, ())) == 4 and shapes[name][0] > 1
    }
    for denominator in range(1, LARGEST_DENOMINATOR + 1):
        for numerator in range(1, denominator + 1):
            rate = numerator / denominator
            if all(found == scaled_width(width, rate) for width, found in widths):
                return rate
    shown = ", ".join(f"{found} of {width}" for width, found in sorted(widths))
    raise SktError(f"{origin}: no channel preservation rate gives these widths of {model}: {shown}")


@cache
def _shapes(model: str, rate: float) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights."""
    with torch.random.fork_rng(devices=[]):  # reading a file leaves the random numbers of the program alone
        return {name: tuple(tensor.shape) for name, tensor in build_model(model, rate).state_dict().items()}
