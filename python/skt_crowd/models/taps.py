"""Read the features inside a model by module path, through hooks that always clean up."""

import difflib
from collections.abc import Sequence
from functools import partial
from types import TracebackType

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from skt_crowd.errors import UsageError


class FeatureTaps:
    """Context manager that keeps the outputs of chosen modules of ``model`` while it is open.

    ``features`` holds the outputs of the latest forward, in the order of ``paths``, with their gradient
    history: nothing is detached, copied or cast. A new forward replaces them. Leaving the block removes
    every hook, also after an exception; the features stay readable. Works in training and evaluation mode,
    and one after the other on the same model.

    Args:
        model: any module.
        paths: names as ``model.named_modules()`` gives them, for example ``model.tap_paths("paper")``.

    Raises:
        UsageError: a path that the model does not have; the message lists the nearest names.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> with FeatureTaps(model, ["0"]) as taps:
        ...     output = model(torch.zeros(1, 3, 2, 2))
        >>> taps.features[0].shape
        torch.Size([1, 4, 2, 2])
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._model = model
        self._modules = [_find(model, path) for path in self.paths]
        self._captured: dict[str, torch.Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "FeatureTaps":
        if self._handles:
            raise UsageError("FeatureTaps: already open; leave the block before entering it again")
        self._captured.clear()
        self._handles.append(self._model.register_forward_pre_hook(self._forget))
        for path, module in zip(self.paths, self._modules, strict=True):
            self._handles.append(module.register_forward_hook(partial(self._keep, path)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if kind is not None:
            self._captured.clear()

    @property
    def features(self) -> list[torch.Tensor]:
        """Outputs of the tapped modules in the latest forward, in the order of the paths.

        Raises:
            UsageError: no forward has run, or a tapped module was not called in it.
        """
        silent = [path for path in self.paths if path not in self._captured]
        if silent:
            raise UsageError(
                f"FeatureTaps: no output from {', '.join(silent)}: call the model inside the block"
            )
        return [self._captured[path] for path in self.paths]

    def _forget(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        self._captured.clear()

    def _keep(self, path: str, module: nn.Module, inputs: tuple[object, ...], output: torch.Tensor) -> None:
        self._captured[path] = output


def _find(model: nn.Module, path: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if path in modules:
        return modules[path]
    names = [name for name in modules if name]
    near = difflib.get_close_matches(path, names, n=3, cutoff=0.0)
    raise UsageError(f"path: {type(model).__name__} has no module {path!r}; nearest: {', '.join(near)}")
