"""In which precision a GPU multiplies: after the features' dtype, then after torch's own switch."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from skt_ext import _feature_distances
from skt_ext._feature_distances import product_precision


@pytest.fixture
def shapes() -> Iterator[None]:
    """Tensors of a device that need not be there."""
    with FakeTensorMode():
        yield


@pytest.fixture(params=["highest", "high", "medium"])
def switch(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


def features(*dtypes: torch.dtype, device: str = "cuda") -> list[Tensor]:
    return [torch.empty(1, 2, 3, 3, dtype=dtype, device=device) for dtype in dtypes]


@pytest.mark.usefixtures("shapes")
def test_float32_follows_the_switch(switch: str) -> None:
    expected = "float32" if switch == "highest" else "tf32"  # "medium" means tf32 to cuBLAS as well
    assert product_precision(*features(torch.float32, torch.float32)) == expected
    assert product_precision(*features(torch.bfloat16, torch.float32)) == expected


@pytest.mark.usefixtures("shapes", "switch")
def test_half_features_lose_nothing_in_half_products() -> None:
    assert product_precision(*features(torch.bfloat16, torch.bfloat16)) == "bfloat16"
    assert product_precision(*features(torch.float16, torch.float16)) == "float16"


@pytest.mark.usefixtures("shapes", "switch")
def test_float64_and_the_cpu_round_nothing() -> None:
    assert product_precision(*features(torch.float32, torch.float64)) == "float32"
    assert product_precision(*features(torch.bfloat16, torch.bfloat16, device="cpu")) == "float32"


def test_the_newer_switch_is_followed_too() -> None:
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"  # get_float32_matmul_precision raises from here on
    try:
        with FakeTensorMode():
            assert product_precision(*features(torch.float32)) == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_the_switch_does_not_break_a_graph(switch: str) -> None:
    def scaled(x: Tensor) -> Tensor:
        return x * (2 if _feature_distances._matmul_precision() == "tf32" else 1)

    torch.compiler.reset()
    compiled = torch.compile(scaled, fullgraph=True, backend="eager")
    assert compiled(torch.ones(1)).item() == (1 if switch == "highest" else 2)
