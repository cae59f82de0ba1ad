"""The emulation itself: what it offers computes what CUDA defines, in every mode and order."""

import numpy as np
import pytest

from tests.emulation.emulated import BFLOAT16, FLOAT16, FLOAT32, MODES, ORDERS

DRIVER = "machine"

every_way = pytest.mark.parametrize("mode", MODES)
every_order = pytest.mark.parametrize("order", ORDERS)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@every_way
@every_order
@pytest.mark.parametrize("element", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda e: e.name)
@pytest.mark.parametrize(("rows", "columns", "chunks"), [(1, 1, 1), (3, 300, 2), (2, 129, 3)])
def test_row_sums_by_shuffles_shared_memory_and_atomics(
    emulated, mode, order, element, rows, columns, chunks
):
    x = element.of(normal(rows, columns))
    sums = np.zeros(rows, np.float32)
    emulated(mode, order).sum_rows(element.code, x, sums, rows, columns, chunks)
    np.testing.assert_allclose(sums, element.wide(x).sum(1), atol=1e-4)


@every_way
@every_order
@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (17, 5, 33), (3, 31, 1)])
def test_product_with_two_buffers_filled_by_asynchronous_copies(emulated, mode, order, m, n, k):
    a, b = normal(m, k).astype(np.float32), normal(k, n, seed=1).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    emulated(mode, order, seed=5).multiply(a, b, c, m, n, k)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, atol=1e-5)


@every_way
@every_order
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "tf32", "ldmatrix"])
def test_tensor_core(emulated, mode, order, kind):
    element = {"bfloat16": BFLOAT16, "tf32": FLOAT32}.get(kind, FLOAT16)
    k = 16 if kind == "ldmatrix" else 48
    a, b = element.of(normal(16, k)), element.of(normal(k, 8, seed=1))
    d = np.full((16, 8), np.nan, np.float32)
    emulated(mode, order).multiply_by_tensor_core(
        ["float16", "bfloat16", "tf32", "ldmatrix"].index(kind), a, b, d, k
    )
    rounded = [to_tf32(x) if kind == "tf32" else x for x in (element.wide(a), element.wide(b))]
    np.testing.assert_allclose(d, rounded[0] @ rounded[1], atol=1e-5)


def to_tf32(x):
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x1000) & 0xFFFFE000).view(np.float32).astype(np.float64)


@every_way
@every_order
def test_votes_and_collectives_of_half_a_warp(emulated, mode, order):
    x = np.random.default_rng(2).integers(-5, 9, 32).astype(np.int32)
    out = np.zeros(35, np.uint32)
    emulated(mode, order).votes(x, out)
    assert out[0] == sum(1 << i for i in range(32) if x[i] > 0)
    assert out[1].astype(np.int32) == x.sum()
    assert out[2] == (x > 3).sum()
    neighbours = [x[i] if i % 16 == 15 else x[i + 1] for i in range(32)]
    assert out[3:].astype(np.int32).tolist() == neighbours
