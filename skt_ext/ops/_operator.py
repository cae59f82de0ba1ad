"""What Python knows of one operator, and what their gradients have in common."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from torch import Tensor


@dataclass(frozen=True)
class Operator:
    """One operator `torch.ops.skt_ext.<name>`.

    Attributes:
        schema: Name, arguments and results, in the language of torch's schemas.
        reference: The operator in plain torch, with exactly the schema's arguments.
        fake: Empty results of the right shapes, dtypes and memory formats, for torch.compile and torch.export.
        save: Saves for `gradient` what it needs; `setup_context` of torch.library.register_autograd.
        gradient: `backward` of torch.library.register_autograd.
        fixed: Names of arguments that get no gradient; asking for one raises.
        in_triton: Whether skt_ext._triton has kernels for it.
    """

    schema: str
    reference: Callable[..., Any]
    fake: Callable[..., Any]
    save: Callable[..., None] | None = None
    gradient: Callable[..., Any] | None = None
    fixed: tuple[str, ...] = ()
    in_triton: bool = False

    @property
    def name(self) -> str:
        return self.schema.partition("(")[0]

    @cached_property
    def _positions_of_fixed(self) -> list[tuple[int, str]]:
        names = list(inspect.signature(self.reference).parameters)
        return [(names.index(name), name) for name in self.fixed]

    def setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Refuse a gradient for the fixed arguments, then save what the others need."""
        for position, name in self._positions_of_fixed:
            if ctx.needs_input_grad[position]:
                raise RuntimeError(
                    f"{name} requires a gradient, which skt_ext does not compute: pass {name}.detach()"
                )
        if self.save is not None:
            self.save(ctx, inputs, output)


def refuse_second_derivative(name: str) -> NoReturn:
    raise RuntimeError(
        f"skt_ext::{name} has no second derivative: do not call backward with create_graph=True"
    )


def once_differentiable(name: str) -> Callable[..., Any]:
    """The gradient of `name`'s backward operator: an error, where silence would be taken for a zero."""

    def gradient(ctx: Any, *grads: Tensor) -> None:
        refuse_second_derivative(name)

    return gradient
