"""The tests that every backend passes; a subclass names the backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from skt_ext.ops import OPERATORS
from tests.conformance.backends import Backend
from tests.conformance.oracle import (
    COMPUTED,
    ROUNDED,
    assert_close,
    assert_conforms,
    exact,
    flat,
    largest,
    same_bits,
    tensors_of,
)
from tests.conformance.sample import Arguments, Outputs, Refusal, Sample
from tests.conformance.samples import TESTED
from tests.conformance.tensors import DOUBLE, FLOAT, normal


class Conformance:
    backend: Backend

    def test_values(self, sample: Sample) -> None:
        """The reference in float64, what the fake promises, and the same bits in whatever way the backend runs."""
        arguments, first = sample.make(), None
        for _ in self.backend.ways(sample):
            outputs = self.backend(
                sample.operator, sample.make() if TESTED[sample.operator].mutated else arguments
            )
            if first is None:
                first = outputs
                assert_conforms(sample, outputs, self.backend)
            else:
                assert same_bits(first, outputs), "the bits depend on the way it runs"

    def test_bad_input_is_refused(self, refusal: Refusal) -> None:
        arguments = TESTED[refusal.operator].samples[0].make() | refusal.changed
        with pytest.raises(RuntimeError, match=refusal.message):
            self.backend.kernel(refusal.operator)(**arguments)

    def test_a_batch_equals_its_images(self, batched: Sample) -> None:
        arguments = batched.make()
        batch = self.backend(batched.operator, arguments)
        images = [
            self.backend(batched.operator, image_of(arguments, TESTED[batched.operator].images, index))
            for index in range(2)
        ]
        for together, *alone in zip(batch, *images, strict=True):
            per_image = together.ndim > 0 and len(together) == 2
            expected = torch.cat(alone) if per_image else alone[0] + alone[1]
            torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-6)


def image_of(arguments: Arguments, names: Sequence[str], index: int) -> Arguments:
    """The arguments of one image of a batch."""

    def cut(value: Any) -> Any:
        if isinstance(value, list):
            return [cut(item) for item in value]
        return value if value is None else value[index : index + 1]

    return arguments | {name: cut(arguments[name]) for name in names}


class Differentiable(Conformance):
    """Of a backend that torch differentiates."""

    def test_gradients(self, differentiable: Sample) -> None:
        """Those of the reference in float64, by plain autograd."""
        leaves, found = gradients(self.backend.operator(differentiable.operator), differentiable, lambda x: x)
        double = any(x.dtype == DOUBLE for x in tensors_of(differentiable.make()))
        for leaf, gradient, wanted in zip(leaves, found, true_gradients(differentiable), strict=True):
            assert gradient.dtype == leaf.dtype
            absolute = COMPUTED[DOUBLE if double else FLOAT]
            relative = ROUNDED[leaf.dtype][0]  # rounded when it is made, and when it is scaled
            assert_close(gradient, wanted, relative, 10 * absolute, largest(wanted), str(differentiable))


@lru_cache
def true_gradients(sample: Sample) -> Outputs:
    return gradients(OPERATORS[sample.operator].reference, sample, exact)[1]


def gradients(
    operator: Callable[..., Any], sample: Sample, change: Callable[[Arguments], Arguments]
) -> tuple[list[Tensor], Outputs]:
    """The tensors that may get a gradient; their gradients of a weighted sum of the differentiable outputs."""
    tested, arguments = TESTED[sample.operator], change(sample.make())
    leaves = [
        tensor.requires_grad_()
        for name in tested.differentiable
        for tensor in tensors_of({name: arguments[name]})
    ]
    outputs = flat(operator(**arguments))
    objective = sum(
        (outputs[i] * normal(*outputs[i].shape, dtype=DOUBLE, seed=20 + i).to(outputs[i])).sum()
        for i in tested.differentiated
        if outputs[i].numel() and outputs[i].requires_grad
    )
    assert isinstance(objective, Tensor)
    return leaves, torch.autograd.grad(objective, leaves)
