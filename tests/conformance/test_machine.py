"""The emulation itself: it computes what CUDA defines, and finds each kind of mistake that a kernel can make."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conformance import emulation
from tests.conformance.emulation import ORDERS
from tests.conformance.samples.dense_fsp_distance import rounded

IN_THIS_PROCESS = ("plain", "race")
every_order = pytest.mark.parametrize("order", ORDERS)
every_mode = pytest.mark.parametrize("mode", IN_THIS_PROCESS)


@pytest.fixture
def machine(request, mode, order):
    module = emulation.machine(request.config, mode)
    module.set_order(order, 2)
    return module


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bits(x):
    """As numpy, which has no bfloat16."""
    return x.view(torch.int16).numpy() if x.element_size() == 2 else x.numpy()


@every_mode
@every_order
@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("rows", "columns", "chunks"), [(1, 1, 1), (3, 300, 2), (2, 129, 3)])
def test_row_sums_by_shuffles_shared_memory_and_atomics(machine, element, rows, columns, chunks):
    x = normal(rows, columns).to(getattr(torch, element))
    sums = np.zeros(rows, np.float32)
    machine.sum_rows(element, bits(x), sums, chunks)
    np.testing.assert_allclose(sums, x.double().sum(1), atol=1e-4)


@every_mode
@every_order
@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (17, 5, 33), (3, 31, 1)])
def test_product_with_two_buffers_filled_by_asynchronous_copies(machine, m, n, k):
    a, b, c = normal(m, k), normal(k, n, seed=1), np.full((m, n), np.nan, np.float32)
    machine.multiply(a.numpy(), b.numpy(), c)
    np.testing.assert_allclose(c, a.double() @ b.double(), atol=1e-5)


@every_mode
@every_order
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "tf32"])
def test_tensor_core(machine, kind):
    dtype = torch.float32 if kind == "tf32" else getattr(torch, kind)
    a, b, d = normal(16, 48).to(dtype), normal(48, 8, seed=1).to(dtype), np.full((16, 8), np.nan, np.float32)
    machine.multiply_by_tensor_core(kind, bits(a), bits(b), d)
    exact = [rounded(x, kind) for x in (a, b)]
    np.testing.assert_allclose(d, exact[0] @ exact[1], atol=1e-5)


@every_mode
@every_order
def test_votes_and_collectives_of_half_a_warp(machine):
    x, out = np.random.default_rng(2).integers(-5, 9, 32).astype(np.int32), np.zeros(35, np.uint32)
    machine.votes(x, out)
    assert out[0] == sum(1 << i for i in range(32) if x[i] > 0)
    assert out[1].astype(np.int32) == x.sum()
    assert out[2] == (x > 3).sum()
    assert out[3:].astype(np.int32).tolist() == [x[i] if i % 16 == 15 else x[i + 1] for i in range(32)]


# Injected mistakes

BUGS = re.findall(r"^  (\w+),$", (emulation.HERE / "machine" / "injected_bugs.h").read_text(), re.MULTILINE)
KERNELS = """
import numpy as np

def sum(machine, bug):
    x = np.random.default_rng(0).integers(-9, 9, (3, 128)).astype(np.float32)
    sums = np.full(3, np.nan, np.float32)
    machine.injected.sum(x, sums, bug)
    return np.array_equal(sums, x.sum(1))

def sum_tiles(machine, bug):
    x = np.random.default_rng(0).integers(-9, 9, (5, 16)).astype(np.float32)
    y = np.full_like(x, np.nan)
    machine.injected.sum_tiles(x, y, bug)
    return np.array_equal(y, np.broadcast_to(x.sum(1, keepdims=True), x.shape))

def reverse(machine, bug):
    x = np.arange(32, dtype=np.float32)
    y = np.full_like(x, np.nan)
    machine.injected.reverse(x, y, bug)
    return np.array_equal(y, x[::-1])
"""
exec(KERNELS, kernels := {})  # the text also runs in processes of their own


def in_a_process(config, order, kernel, bug):
    """What a sanitizer says; empty where the kernel's result is right and nothing was reported."""
    path = emulation.builder(config).module("machine", "sanitized")
    code = (
        KERNELS
        + f"""
import importlib.util
spec = importlib.util.spec_from_file_location("skt_machine_sanitized", {str(path)!r})
machine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(machine)
machine.set_order({order!r}, 2)
assert {kernel}(machine, {BUGS.index(bug)})
"""
    )
    environment = emulation.environment(config)
    done = subprocess.run([sys.executable, "-E", "-c", code], capture_output=True, text=True, env=environment)
    return done.stderr if done.returncode else ""


@every_mode
@every_order
@pytest.mark.parametrize("kernel", ["sum", "sum_tiles", "reverse"])
def test_without_a_mistake_nothing_is_reported(machine, kernel):
    assert kernels[kernel](machine, BUGS.index("none"))


@every_order
@pytest.mark.parametrize(
    ("kernel", "bug", "mode", "report"),
    [
        ("sum", "missing_barrier", "race", "race on shared memory: .* no barrier between"),
        ("sum_tiles", "missing_barrier_before_refill", "race", "race on shared memory: "),
        ("reverse", "missing_warp_barrier", "race", "race on shared memory: "),
        ("sum", "blocks_share_an_element", "race", "race on global memory: .* of another block"),
        ("sum", "lane_leaves_early", "plain", r"thread \(40, 0, 0\) of block \(\d, 0, 0\)"),
        ("sum", "divergent_barrier", "plain", "divergent barrier: .* has left the kernel"),
    ],
)
def test_a_mistake_is_reported_in_every_order(machine, kernel, bug, report):
    with pytest.raises(RuntimeError, match=report) as raised:
        kernels[kernel](machine, BUGS.index(bug))
    if "race" in report:
        assert "injected_bugs.h:" in with_lines(str(raised.value))


def with_lines(message: str) -> str:
    """The message with [library+offset] replaced by file and line."""

    def line(found: re.Match[str]) -> str:
        lines = emulation.run(["addr2line", "-i", "-e", found[1], found[2]]).split()
        return " in ".join(Path(line).name for line in lines)

    return (
        re.sub(r"\[(.+?)\+(0x[0-9a-f]+)\]", line, message)
        if shutil.which("addr2line")
        else "injected_bugs.h:"
    )


@every_order
@pytest.mark.parametrize(
    ("kernel", "bug", "report"),
    [
        ("sum", "none", ""),
        ("sum", "static_shared_overflow", r"index 4 out of bounds for type 'float \[4\]'"),
        ("sum", "global_overflow", r"heap-buffer-overflow[\s\S]*sum\(float const\*"),
        ("sum_tiles", "dynamic_shared_overflow", r"use-after-poison[\s\S]*copy_async"),
    ],
)
def test_a_sanitizer_reports_in_every_order(request, order, kernel, bug, report):
    if reason := emulation.why_not():
        pytest.skip(reason)
    said = in_a_process(request.config, order, kernel, bug)
    assert re.search(report, said) if report else said == ""


@pytest.mark.parametrize("mode", ["plain"])
@pytest.mark.parametrize(
    ("kernel", "bug", "seen_in"),
    [
        ("sum", "missing_barrier", {"forward", "random"}),
        ("sum_tiles", "wrong_wait", {"reverse", "random"}),
        ("reverse", "missing_warp_barrier", {"forward", "reverse", "random"}),
    ],
)
def test_values_alone_tell_a_mistake_in_some_orders(request, mode, kernel, bug, seen_in):
    machine, wrong = emulation.machine(request.config, mode), set()
    for order in ORDERS:
        machine.set_order(order, 2)
        if not kernels[kernel](machine, BUGS.index(bug)):
            wrong.add(order)
    assert wrong == seen_in
