"""The samples of every operator, a file for each: every `Tested` that a module of this package holds."""

import importlib
import pkgutil

from tests.conformance.sample import Tested

TESTED: dict[str, Tested] = {
    tested.name: tested
    for module in pkgutil.iter_modules(__path__)
    for tested in vars(importlib.import_module(f"{__name__}.{module.name}")).values()
    if isinstance(tested, Tested)
}
