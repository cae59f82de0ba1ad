"""Operator embedded_distance: a 1x1 convolution, ReLU, cosine distance and max pooling without their intermediates."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import skt_ext
from skt_ext._numerics import memory_format_of
from tests.support.random_features import on_every_device, random_feature

EPS = 1e-8
op = torch.ops.skt_ext.embedded_distance
LAYOUTS = ["contiguous", "channels_last", "permuted", "sliced"]
# (N, C_s, C_t, H, W): no image, one pixel, one row, one column, primes, more channels than a vector
SHAPES = [
    (0, 3, 4, 5, 4),
    (1, 2, 3, 1, 1),
    (1, 3, 5, 1, 37),
    (2, 4, 3, 11, 1),
    (2, 7, 19, 13, 5),
    (1, 16, 33, 19, 70),
]
KERNELS = [(0, 0), (1, 1), (2, 3), (8, 8)]


def operands(shape, device="cpu", layout="contiguous", teacher_layout=None, dtype=torch.float64):
    batch, inputs, outputs, *size = shape
    student = random_feature((batch, inputs, *size), seed=1, layout=layout, device=device, dtype=dtype)
    teacher = random_feature(
        (batch, outputs, *size), seed=2, layout=teacher_layout or layout, device=device, dtype=dtype
    )
    weight = random_feature((outputs, inputs, 1, 1), seed=3, device=device, dtype=dtype).flatten(1)
    bias = random_feature((outputs, 1, 1, 1), seed=4, device=device, dtype=dtype).flatten()
    return student, weight, bias, teacher


def by_torch(
    student: Tensor, weight: Tensor, bias: Tensor | None, teacher: Tensor, relu: bool, kernel: tuple[int, int]
) -> tuple[Tensor, Tensor | None]:
    hidden = F.conv2d(student.contiguous(), weight[:, :, None, None], bias)
    hidden = hidden.relu() if relu else hidden
    loss = (1 - F.cosine_similarity(hidden, teacher, dim=1, eps=EPS)).sum()
    return loss, F.max_pool2d(hidden, kernel, ceil_mode=True) if kernel[0] else None


@on_every_device
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_values_and_gradients(shape, kernel, relu, layout, device):
    student, weight, bias, teacher = operands(shape, device, layout)
    leaves = [tensor.requires_grad_() for tensor in (student, weight, bias)]
    loss, pooled, argmax, statistics = op(*leaves, teacher, relu, EPS, *kernel)
    true_loss, true_pooled = by_torch(*leaves, teacher, relu, kernel)
    torch.testing.assert_close(loss, true_loss)
    assert statistics.shape == (shape[0], 3, *shape[3:])
    # The last bit of an embedded value may differ, and pixels that the ReLU closes have no direction.
    options = {"rtol": 1e-8, "atol": 1e-9}
    if true_pooled is None:
        assert pooled.shape == argmax.shape == (0,)
        total, true_total = 0.5 * loss, 0.5 * true_loss
    else:
        torch.testing.assert_close(pooled, true_pooled)
        grad = random_feature(tuple(pooled.shape), seed=5, device=device)
        total, true_total = (0.5 * loss + (pooled * grad).sum(), 0.5 * true_loss + (true_pooled * grad).sum())
    ours, true = (torch.autograd.grad(value, leaves) for value in (total, true_total))
    for gradient, truth in zip(ours, true, strict=True):
        finite = truth.abs() < 1e6  # torch's own formula gives 1 / eps where a vector is zero
        torch.testing.assert_close(gradient[finite], truth[finite], **options)
    assert ours[0].is_contiguous(memory_format=memory_format_of(student))


@on_every_device
@pytest.mark.parametrize(
    "layouts", [("contiguous", "channels_last"), ("channels_last", "contiguous")], ids=str
)
def test_student_and_teacher_may_lie_differently(layouts, device):
    shape = SHAPES[-1]
    expected = op(*operands(shape, device), True, EPS, 8, 8)
    mixed = op(*operands(shape, device, *layouts), True, EPS, 8, 8)
    for ours, true in zip(mixed, expected, strict=True):
        torch.testing.assert_close(ours, true)


@on_every_device
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "dtypes",
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float16),
        (torch.float32, torch.bfloat16),
        (torch.float32, torch.float64),
    ],
    ids=str,
)
def test_dtypes_mix(dtypes, layout, device):
    """Student and teacher as autocast leaves them, with the parameters in float32."""
    exact = operands((2, 7, 19, 13, 5), device, layout)
    student, weight, bias, teacher = (
        tensor.to(dtype)
        for tensor, dtype in zip(exact, (dtypes[0], torch.float32, torch.float32, dtypes[1]), strict=True)
    )
    leaves = [tensor.requires_grad_() for tensor in (student, weight, bias)]
    loss, pooled, _, _ = op(*leaves, teacher, True, EPS, 2, 2)
    accumulator = torch.float64 if torch.float64 in dtypes else torch.float32
    assert loss.dtype == pooled.dtype == accumulator
    truth = [tensor.detach().double() for tensor in (*leaves, teacher)]
    true_loss, true_pooled = by_torch(*truth, True, (2, 2))
    torch.testing.assert_close(loss.double(), true_loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(pooled.double(), true_pooled, rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(loss + pooled.sum(), leaves)
    assert [gradient.dtype for gradient in gradients] == [leaf.dtype for leaf in leaves]


@on_every_device
@pytest.mark.parametrize("relu", [False, True])
def test_gradcheck(relu, device):
    student, weight, bias, teacher = operands((2, 3, 4, 5, 4), device)
    leaves = [tensor.requires_grad_() for tensor in (student, weight, bias)]
    assert torch.autograd.gradcheck(lambda *x: op(*x, teacher, relu, EPS, 2, 3)[:2], leaves)
    assert torch.autograd.gradcheck(lambda s, w: op(s, w, None, teacher, relu, EPS, 0, 0)[0], leaves[:2])


@on_every_device
def test_by_hand(device):
    # h = ReLU((2, -1) s): s = 3 -> (6, 0), s = -4 -> (0, 4). t = (1, 0) and (3, 4): distances 0 and 1 - 4/5.
    student = torch.tensor([3.0, -4.0], device=device).reshape(1, 1, 1, 2)
    weight = torch.tensor([[2.0], [-1.0]], device=device)
    teacher = torch.tensor([[1.0, 3.0], [0.0, 4.0]], device=device).reshape(1, 2, 1, 2)
    loss, pooled, argmax, statistics = op(student, weight, None, teacher, True, EPS, 1, 2)
    torch.testing.assert_close(loss, torch.tensor(0.2, device=device))
    assert pooled.flatten().tolist() == [6.0, 4.0]
    assert argmax.flatten().tolist() == [0, 1]
    assert statistics.flatten().tolist() == [6.0, 16.0, 36.0, 16.0, 1.0, 25.0]


@on_every_device
def test_without_a_teacher_there_is_no_distance(device):
    student, weight, bias, teacher = operands((2, 7, 19, 13, 5), device)
    leaves = [tensor.requires_grad_() for tensor in (student, weight, bias)]
    loss, pooled, _, statistics = op(*leaves, None, True, EPS, 2, 2)
    assert loss.item() == 0
    assert statistics.shape == (0,)
    _, true_pooled = by_torch(*leaves, teacher, True, (2, 2))
    torch.testing.assert_close(
        torch.autograd.grad(pooled.square().sum(), leaves),
        torch.autograd.grad(true_pooled.square().sum(), leaves),
    )


def test_threads_do_not_change_a_bit(request):
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    for layout in ("contiguous", "channels_last"):
        arguments = operands((2, 16, 48, 70, 60), layout=layout, dtype=torch.float32)
        leaves = [tensor.requires_grad_() for tensor in arguments[:3]]
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            loss, pooled, _, _ = op(*leaves, arguments[3], True, EPS, 4, 4)
            results.append([loss, pooled, *torch.autograd.grad(loss + pooled.sum(), leaves)])
        for result in results[1:]:
            assert all(torch.equal(ours, first) for ours, first in zip(result, results[0], strict=True))


@pytest.mark.skipif(skt_ext.build_info()["reason"] is not None, reason="the native library checks")
def test_messages():
    student, weight, bias, teacher = operands((1, 3, 4, 5, 5))
    with pytest.raises(RuntimeError, match=r"weight must have shape \(Ct, Cs\) = \(4, 3\); got \(4, 2\)"):
        op(student, weight[:, :2], bias, teacher, True, EPS, 1, 1)
    with pytest.raises(
        RuntimeError, match=r"teacher must have shape \(N, Ct, H, W\) = \(1, 4, 5, 5\); got \(1, 4, 4, 5\)"
    ):
        op(student, weight, bias, teacher[:, :, 1:], True, EPS, 1, 1)
    with pytest.raises(RuntimeError, match=r"bias must have shape \(Ct,\) = \(4,\); got \(3,\)"):
        op(student, weight, bias[1:], teacher, True, EPS, 1, 1)
    with pytest.raises(RuntimeError, match=r"at most 256 cells, or \(0, 0\); got \(17, 16\)"):
        op(student, weight, bias, teacher, True, EPS, 17, 16)
