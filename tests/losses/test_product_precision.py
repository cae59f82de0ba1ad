"""In which precision a GPU multiplies: after the features' dtype, then after torch's own switch."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from skt_ext._relation import product_precision


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
    expected = {"highest": "float32", "high": "tf32", "medium": "bfloat16"}[switch]
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


def test_the_switch_does_not_break_a_graph(switch: str) -> None:
    from skt_ext import _relation

    def scaled(x: Tensor) -> Tensor:
        return x * {"highest": 1, "high": 2, "medium": 3}[_relation._torch_precision()]

    torch.compiler.reset()
    compiled = torch.compile(scaled, fullgraph=True, backend="eager")
    assert compiled(torch.ones(1)).item() == {"highest": 1, "high": 2, "medium": 3}[switch]
