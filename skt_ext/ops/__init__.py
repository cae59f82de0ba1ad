"""The operators `torch.ops.skt_ext.*`: a file each, with schema, reference, fake and gradient."""

from skt_ext import _library
from skt_ext.ops import (
    cosine_loss,
    dense_fsp_distance,
    density_splat,
    embedded_distance,
    geodesic_neighbors,
    geodesic_splat,
    pool_and_pack,
)
from skt_ext.ops._operator import Operator

__all__ = ["OPERATORS", "Operator", "register"]

OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for room in (
        cosine_loss,
        pool_and_pack,
        dense_fsp_distance,
        embedded_distance,
        density_splat,
        geodesic_splat,
        geodesic_neighbors,
    )
    for operator in room.OPERATORS
}


def register() -> None:
    """Make torch know the operators. skt_ext calls it when it is imported; nobody else has to."""
    _library.register(OPERATORS.values())
