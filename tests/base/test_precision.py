"""What "auto" means on each device, and that float32 means float32."""

import pytest
import torch

from skt_crowd.device import autocast_for, has_native_bfloat16, resolve_precision
from skt_crowd.errors import UsageError


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", "cpu") == expected


def test_this_processor_gets_an_answer() -> None:
    assert has_native_bfloat16(torch.device("cpu")) in (True, False)


def test_other_devices_compute_in_float32() -> None:
    assert resolve_precision("auto", "meta") == "float32"


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_convolutions_run_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    layer, image = torch.nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16), autocast_for(precision, "cpu"):
        assert layer(image).dtype == dtype


def test_unknown_words() -> None:
    with pytest.raises(UsageError, match=r"^precision: expected one of float32, bfloat16, auto, got 'fp16'$"):
        autocast_for("fp16", "cpu")
