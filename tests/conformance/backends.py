"""Who computes an operator: the reference, the native library, compiled graphs, emulated and real CUDA, Triton."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import skt_ext
from skt_ext.ops import OPERATORS
from tests.conformance import emulation
from tests.conformance.oracle import each_tensor, outputs_of
from tests.conformance.sample import Arguments, Outputs, Sample
from tests.conformance.samples import TESTED


class Backend:
    """One of them. `start` skips where it is not to be had."""

    rounds = False  # operands of products, as the argument `precision` says
    checks = True  # refuses bad input
    fakes = True  # is compared with fake tensors

    def start(self, config: pytest.Config) -> None:
        pass

    def takes(self, sample: Sample) -> bool:
        return True

    def ways(self, sample: Sample) -> Iterator[None]:
        """Once for each way of running, none of which may change a bit of the result."""
        yield
        if "opcheck" in sample.tags:  # and the same again
            yield

    def operator(self, name: str) -> Any:
        return getattr(torch.ops.skt_ext, name)

    def __call__(self, operator: str, arguments: Arguments) -> Outputs:
        with torch.no_grad():
            return outputs_of(self.operator(operator), TESTED[operator], arguments)

    def kernel(self, name: str) -> Any:
        """The operator's kernel without torch's dispatch, which sends a call with a meta tensor elsewhere."""
        return functools.partial(self.operator(name).default._op_dk, torch._C.DispatchKey.CPU)


class Reference(Backend):
    rounds = True
    checks = False

    def takes(self, sample: Sample) -> bool:
        return "native" not in sample.tags

    def operator(self, name: str) -> Any:
        return OPERATORS[name].reference


class Native(Backend):
    def start(self, config: pytest.Config) -> None:
        if reason := skt_ext.build_info()["reason"]:
            pytest.skip(reason)

    def ways(self, sample: Sample) -> Iterator[None]:
        before = torch.get_num_threads()
        try:
            for threads in (1, 2, 3) if "native" in sample.tags else (1, 2):
                torch.set_num_threads(threads)
                yield
        finally:
            torch.set_num_threads(before)


class Compiled(Backend):
    checks = False

    def takes(self, sample: Sample) -> bool:
        return "opcheck" in sample.tags and sample.operator != "rescale_"

    def operator(self, name: str) -> Any:
        torch._dynamo.reset()
        eager = getattr(torch.ops.skt_ext, name)
        return torch.compile(lambda **arguments: eager(**arguments), fullgraph=True)


class Emulated(Backend):
    """The CUDA operators, host code included, compiled by g++ against csrc/emulation and called on CPU tensors."""

    rounds = True
    mode = "plain"
    orders: tuple[tuple[str, int], ...] = (("forward", 0), ("reverse", 0), ("random", 1), ("random", 2))

    def start(self, config: pytest.Config) -> None:
        self.module = emulation.operators(config, self.mode)

    def takes(self, sample: Sample) -> bool:
        return sample.operator in emulation.OPERATORS and "native" not in sample.tags

    def ways(self, sample: Sample) -> Iterator[None]:
        for order, seed in self.orders[:1] if "several blocks" in sample.tags else self.orders:
            self.module.set_order(order, seed)
            yield

    def operator(self, name: str) -> Any:
        return getattr(getattr(torch.ops, self.module.__name__), name)


class Instrumented(Emulated):
    """With an instrument that costs: in two orders, nothing that is large."""

    orders = (("forward", 0), ("random", 1))

    def takes(self, sample: Sample) -> bool:
        return super().takes(sample) and "several blocks" not in sample.tags


class RaceChecked(Instrumented):
    mode = "race"


class Sanitized(Instrumented):
    mode = "sanitized"
    orders = (("random", 1),)
    fakes = False  # torch's machinery for them takes long to import under a sanitizer


class Triton(Backend):
    """The Triton kernels in Triton's interpreter, which TRITON_INTERPRET=1 must have asked for."""

    checks = False

    def takes(self, sample: Sample) -> bool:
        most = {"density_splat": 6, "geodesic_splat": 2}  # people, in an interpreter
        return sample.operator in most and len(sample.make()["points"]) <= most[sample.operator]

    def operator(self, name: str) -> Any:
        from skt_ext import _triton

        kernel = getattr(_triton, name)
        return lambda **arguments: kernel(*arguments.values())


class Cuda(Backend):
    rounds = True

    def takes(self, sample: Sample) -> bool:
        return torch.cuda.is_available()

    def start(self, config: pytest.Config) -> None:
        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")

    def __call__(self, operator: str, arguments: Arguments) -> Outputs:
        return super().__call__(operator, each_tensor(arguments, _on_cuda))

    def kernel(self, name: str) -> Any:
        return lambda **arguments: self.operator(name)(**each_tensor(arguments, _on_cuda))


def _on_cuda(x: torch.Tensor) -> torch.Tensor:
    """With the same strides in a copy of the same memory; what is on the meta device goes to the CPU instead."""
    if x.device.type == "meta":
        return torch.zeros_like(x, device="cpu")
    storage = torch.empty(0, dtype=torch.uint8, device="cuda").set_(x.untyped_storage().cuda())
    return torch.empty(0, dtype=x.dtype, device="cuda").set_(
        storage.untyped_storage(), x.storage_offset(), x.shape, x.stride()
    )
