"""Properties that hold for any input."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skt_ext import losses

few = settings(max_examples=15, deadline=None)
sizes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**31)


def pair(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


@few
@given(sizes, seeds, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_the_cosine_ignores_scale(shape, seed, student_scale, teacher_scale):
    student, teacher = pair(shape, seed)
    scaled = losses.cosine_transfer_loss(student_scale * student, teacher_scale * teacher)
    torch.testing.assert_close(scaled, losses.cosine_transfer_loss(student, teacher))


@few
@given(sizes, seeds)
def test_the_cosine_distance_lies_between_zero_and_two(shape, seed):
    student, teacher = pair(shape, seed)
    distance = losses.cosine_transfer_loss(student.float(), teacher.float(), reduction="none")
    assert (distance >= -1e-6).all()
    assert (distance <= 2 + 1e-6).all()


@few
@given(sizes, seeds)
def test_the_cosine_gradient_is_orthogonal_to_the_student(shape, seed):
    student, teacher = pair(shape, seed)
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(losses.cosine_transfer_loss(student, teacher), student)
    torch.testing.assert_close(
        (gradient * student).sum(1), torch.zeros_like(student[:, 0]), rtol=0, atol=1e-10
    )


@few
@given(sizes, seeds)
def test_flipping_both_images_changes_nothing(shape, seed):
    """Also for the FSP, where pooling windows are flipped onto each other: where they divide the size."""
    student, teacher = pair(shape, seed)
    for loss in (losses.cosine_transfer_loss, losses.l2_transfer_loss):
        torch.testing.assert_close(loss(student.flip(3), teacher.flip(3)), loss(student, teacher))
        mapped = loss(student.flip(3), teacher.flip(3), reduction="none").flip(2)
        torch.testing.assert_close(mapped, loss(student, teacher, reduction="none"))
    large = [tensor.repeat_interleave(2, 2).repeat_interleave(2, 3) for tensor in (student, teacher)]
    plain = losses.dense_fsp_loss([large[0], student], [large[1], teacher])
    flipped = losses.dense_fsp_loss([large[0].flip(3), student.flip(3)], [large[1].flip(3), teacher.flip(3)])
    torch.testing.assert_close(flipped, plain)


@few
@given(sizes, seeds)
def test_the_fsp_matrix_transposes_with_its_arguments(shape, seed):
    first, second = pair(shape, seed)
    torch.testing.assert_close(losses.fsp_matrix(first, second), losses.fsp_matrix(second, first).mT)


@few
@given(sizes, seeds, st.floats(-2, 2))
def test_the_fsp_matrix_is_linear_in_each_argument(shape, seed, factor):
    first, second = pair(shape, seed)
    combined = losses.fsp_matrix(first + factor * second, second)
    expected = losses.fsp_matrix(first, second) + factor * losses.fsp_matrix(second, second)
    torch.testing.assert_close(combined, expected)


@few
@given(sizes, seeds)
def test_dense_fsp_is_the_sum_over_its_pairs(shape, seed):
    student, teacher = pair(shape, seed)
    s, t = [student, student.flip(1), student + 1], [teacher, teacher.flip(2), teacher - 1]
    pairs = [losses.dense_fsp_loss([s[i], s[j]], [t[i], t[j]]) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(losses.dense_fsp_loss(s, t), sum(pairs))
    torch.testing.assert_close(losses.dense_fsp_loss(s, t, pairs="adjacent"), pairs[0] + pairs[2])


@few
@given(sizes, seeds)
def test_instance_normalised_fsp_entries_are_correlations(shape, seed):
    first, second = pair(shape, seed)
    matrix = losses.fsp_matrix(first, second, normalize="instance")
    assert (matrix.abs() <= 1).all()
