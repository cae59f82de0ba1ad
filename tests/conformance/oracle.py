"""What a call must give: the reference in float64, and the shapes, dtypes and strides that the fake promises."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from skt_ext.ops import OPERATORS
from tests.conformance.sample import Arguments, Outputs, Sample, Tested
from tests.conformance.samples import TESTED
from tests.conformance.tensors import BFLOAT, DOUBLE, FLOAT, HALF

# Error of a computation in a dtype, relative to the size of its terms.
COMPUTED = {DOUBLE: 2e-12, FLOAT: 4e-6}
# And of rounding its result: half a unit in the last place, relative to the result; half the smallest number.
ROUNDED = {
    DOUBLE: (0.0, 0.0),
    FLOAT: (2.0**-24, 2.0**-149),
    HALF: (2.0**-11, 2.0**-25),
    BFLOAT: (2.0**-8, 2.0**-134),
}


def each_tensor(arguments: Arguments, change: Any) -> Arguments:
    """The arguments with every tensor, also those in lists, replaced by change(tensor)."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(item) for item in value]
        return change(value) if isinstance(value, Tensor) else value

    return {name: changed(value) for name, value in arguments.items()}


def tensors_of(arguments: Arguments) -> list[Tensor]:
    found: list[Tensor] = []
    each_tensor(arguments, found.append)
    return found


def flat(result: Any) -> Outputs:
    """An operator's results as one tuple of tensors."""
    if isinstance(result, Tensor):
        return (result,)
    return tuple(tensor for item in result for tensor in flat(item))


def outputs_of(operator: Any, tested: Tested, arguments: Arguments) -> Outputs:
    result = operator(**arguments)
    return (arguments[tested.mutated],) if tested.mutated else flat(result)


def exact(arguments: Arguments) -> Arguments:
    return each_tensor(arguments, lambda x: x.double() if x.is_floating_point() else x.clone())


@lru_cache(maxsize=4096)
def expected(sample: Sample, rounds: bool) -> Outputs:
    """The reference in float64; `rounds`: the operands of products rounded as the precision says."""
    tested = TESTED[sample.operator]
    arguments = sample.make()
    if tested.rounded is not None and rounds:
        arguments = tested.rounded(arguments)
    return outputs_of(OPERATORS[sample.operator].reference, tested, exact(arguments))


@lru_cache(maxsize=4096)
def promised(sample: Sample) -> Outputs:
    """Fake tensors: what torch.compile expects of the operator."""
    arguments = sample.make()
    with FakeTensorMode() as mode, torch.no_grad():
        arguments = each_tensor(arguments, mode.from_tensor)
        return outputs_of(getattr(torch.ops.skt_ext, sample.operator), TESTED[sample.operator], arguments)


def assert_conforms(sample: Sample, outputs: Outputs, backend: Any) -> None:
    tested, arguments, rounds = TESTED[sample.operator], sample.make(), backend.rounds
    if backend.fakes:
        assert_kept(outputs, promised(sample))
    wanted = expected(sample, rounds)
    magnitudes = tested.magnitudes(arguments) if tested.magnitudes else [None] * len(outputs)
    double = any(x.dtype == DOUBLE for x in tensors_of(arguments))
    for i, (output, value, magnitude) in enumerate(zip(outputs, wanted, magnitudes, strict=True)):
        if tested.tolerance is not None:
            relative, absolute, size = *tested.tolerance, 1.0
        else:
            relative, absolute = 0.0, COMPUTED[DOUBLE if double else FLOAT]
            size = magnitude if magnitude is not None else largest(value)
        assert_close(output, value, relative, absolute, size, f"output {i} of {sample}")


def largest(value: Tensor) -> float:
    finite = value[value.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def assert_kept(outputs: Outputs, promise: Outputs) -> None:
    """Shapes, dtypes and strides are those of the fake; the stride of an axis of size 1 says nothing."""
    for output, fake in zip(outputs, promise, strict=True):
        assert (output.shape, output.dtype) == (fake.shape, fake.dtype)
        if output.numel():
            strides = [[s for s, n in zip(x.stride(), x.shape, strict=True) if n > 1] for x in (output, fake)]
            assert strides[0] == strides[1], f"strides {output.stride()}, the fake has {fake.stride()}"


def assert_close(
    output: Tensor, wanted: Tensor, relative: float, absolute: float, magnitude: Tensor | float, what: str
) -> None:
    """|output - wanted| <= relative |wanted| + absolute magnitude + the rounding of the result; NaN where NaN is."""
    output = output.detach().cpu()
    if not output.is_floating_point():
        assert torch.equal(output, wanted), what
        return
    rounding, smallest = ROUNDED[output.dtype]
    result, wanted = output.double(), wanted.double()
    assert torch.equal(result.isnan(), wanted.isnan()), f"{what}: NaN in other places"
    infinite = wanted.to(output.dtype).isinf()
    assert torch.equal(result[infinite], wanted.to(output.dtype)[infinite].double()), (
        f"{what}: other infinities"
    )
    bound = (relative + rounding * 1.001) * wanted.abs() + absolute * magnitude + smallest
    worst = ((result - wanted).abs() / bound)[~infinite & ~wanted.isnan()].nan_to_num(nan=0.0)
    assert worst.numel() == 0 or worst.max() <= 1, f"{what}: error {worst.max():.3g} times the bound"


def same_bits(one: Outputs, two: Outputs) -> bool:
    def equal(a: Tensor, b: Tensor) -> bool:
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not a.is_floating_point():
            return torch.equal(a, b)
        bits = {8: torch.int64, 4: torch.int32, 2: torch.int16}[a.element_size()]
        return torch.equal(a.contiguous().view(bits), b.contiguous().view(bits))

    return all(map(equal, one, two))
