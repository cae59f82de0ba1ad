"""The operators `torch.ops.skt_ext.*`: a file each, with schema, reference, fake and gradient."""

import importlib
import pkgutil

from skt_ext import _library
from skt_ext.ops._operator import Operator

__all__ = ["OPERATORS", "Operator", "register"]

# Every module of this package whose name does not begin with an underscore holds one operator and its backward.
OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
    for operator in importlib.import_module(f"{__name__}.{module.name}").OPERATORS
}


def register() -> None:
    """Make torch know the operators. skt_ext calls it when it is imported; nobody else has to."""
    _library.register(OPERATORS.values())
