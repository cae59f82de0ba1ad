"""Operators cosine_loss and rescale_: the gradient is made with the loss, and rescaled when another is asked for."""

import pytest
import torch
import torch.nn.functional as F

import skt_ext  # noqa: F401  (registers the operators)
from skt_ext._numerics import memory_format_of
from tests.ops import op_samples
from tests.ops.op_samples import TOLERANCES
from tests.support.random_features import on_every_device, random_feature

EPS = 1e-8
op = torch.ops.skt_ext.cosine_loss


def true_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    return (1 - F.cosine_similarity(student.double(), teacher.double(), dim=1, eps=EPS)).sum()


@on_every_device
@op_samples.in_every_layout
@op_samples.of_every_shape
def test_loss_and_gradient_in_float64(shape, layout, device):
    student = random_feature(shape, seed=1, layout=layout, device=device).requires_grad_()
    teacher = random_feature(shape, seed=2, layout=layout, device=device)
    loss, gradient = op(student, teacher, EPS, 3.0, True)
    expected = true_loss(student, teacher)
    torch.testing.assert_close(loss, expected, **TOLERANCES[torch.float64])
    (true_gradient,) = torch.autograd.grad(3 * expected, student)
    torch.testing.assert_close(gradient, true_gradient, **TOLERANCES[torch.float64])
    assert gradient.is_contiguous(memory_format=memory_format_of(student))


@on_every_device
@pytest.mark.parametrize(("student_dtype", "teacher_dtype"), list(op_samples.float_pairs()), ids=str)
@pytest.mark.parametrize(
    "layouts", [("contiguous", "contiguous"), ("channels_last", "channels_last")], ids=str
)
def test_every_dtype(student_dtype, teacher_dtype, layouts, device):
    student = random_feature((2, 37, 5, 7), seed=4, dtype=student_dtype, layout=layouts[0], device=device)
    teacher = random_feature((2, 37, 5, 7), seed=5, dtype=teacher_dtype, layout=layouts[1], device=device)
    accumulator = torch.float64 if torch.float64 in (student_dtype, teacher_dtype) else torch.float32
    loss, gradient = op(student, teacher, EPS, 1.0, True)
    assert loss.dtype == accumulator
    assert gradient.dtype == student_dtype
    truth = student.double().requires_grad_()
    expected = true_loss(truth, teacher)
    torch.testing.assert_close(loss.double(), expected, **TOLERANCES[accumulator])
    (true_gradient,) = torch.autograd.grad(expected, truth)
    torch.testing.assert_close(gradient.double(), true_gradient, **TOLERANCES[student_dtype])


@on_every_device
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_gradient_too_large_for_the_caches(layout, dtype, device):
    """Large gradients are stored past the caches, in another loop, and not aligned to it: 3 x 41 x 61."""
    shape = (1, 24, 301, 307)
    student = random_feature(shape, seed=1, dtype=dtype, layout=layout, device=device)
    teacher = random_feature(shape, seed=2, dtype=dtype, layout=layout, device=device)
    _, gradient = op(student, teacher, EPS, 0.5, True)
    distance, statistics = torch.ops.skt_ext.cosine_distance(student, teacher, EPS)
    half = torch.full_like(distance, 0.5)
    expected = torch.ops.skt_ext.cosine_distance_backward(half, student, teacher, statistics, EPS)
    torch.testing.assert_close(gradient, expected, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-9)


@on_every_device
def test_without_a_gradient_none_is_made(device):
    student, teacher = (random_feature((1, 3, 4, 5), seed=i, device=device) for i in (1, 2))
    loss, gradient = op(student, teacher, EPS, 1.0, False)
    assert gradient.shape == (0,)
    assert torch.equal(loss, op(student, teacher, EPS, 1.0, True)[0])


@on_every_device
@pytest.mark.parametrize("upstream", [1.0, 0.5, -3.0])
def test_backward_rescales_to_the_gradient_that_comes(upstream, device):
    student = random_feature((2, 3, 4, 5), seed=1, device=device).requires_grad_()
    teacher = random_feature((2, 3, 4, 5), seed=2, device=device)
    (upstream * op(student, teacher, EPS, 0.5, True)[0]).backward()
    (expected,) = torch.autograd.grad(upstream * true_loss(student, teacher), student)
    torch.testing.assert_close(student.grad, expected)


@on_every_device
def test_a_kept_graph_gives_the_same_gradient_again(device):
    """In-place rescaling must not touch what a second backward needs."""
    student = random_feature((2, 3, 4, 5), seed=1, device=device).requires_grad_()
    teacher = random_feature((2, 3, 4, 5), seed=2, device=device)
    loss = 3 * op(student, teacher, EPS, 1.0, True)[0]
    gradients = [torch.autograd.grad(loss, student, retain_graph=keep)[0] for keep in (True, True, False)]
    assert torch.equal(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])
    assert gradients[0].data_ptr() != gradients[1].data_ptr()


@on_every_device
def test_gradcheck(device):
    teacher = random_feature((2, 3, 4, 5), seed=1, device=device)
    student = random_feature((2, 3, 4, 5), seed=2, device=device).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: op(s, teacher, EPS, 2.0, True)[0], (student,))


@on_every_device
def test_zero_student_vectors_get_no_gradient(device):
    student = torch.zeros(1, 4, 2, 3, device=device)
    loss, gradient = op(
        student, random_feature((1, 4, 2, 3), dtype=torch.float32, device=device), EPS, 1.0, True
    )
    assert loss.item() == 6
    assert gradient.eq(0).all()


@on_every_device
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_rescale(dtype, device):
    for layout in ("contiguous", "channels_last"):
        tensor = random_feature((2, 3, 5, 7), dtype=dtype, layout=layout, device=device)
        before = tensor.clone()
        torch.ops.skt_ext.rescale_(tensor, torch.tensor(0.5, device=device), 0.5)
        assert torch.equal(tensor, before)
        torch.ops.skt_ext.rescale_(tensor, torch.tensor(3.0, device=device), 0.5)
        torch.testing.assert_close(tensor, before * 6)


def test_threads_do_not_change_a_bit(request):
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    student, teacher = (random_feature((2, 20, 70, 60), seed=i, dtype=torch.float32) for i in (1, 2))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(op(student, teacher, EPS, 1.0, True))
    for loss, gradient in results[1:]:
        assert torch.equal(loss, results[0][0])
        assert torch.equal(gradient, results[0][1])
