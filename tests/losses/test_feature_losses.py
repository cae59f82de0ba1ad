"""What the losses of features have in common: values, gradients, dtypes, layouts, batches, repeatability."""

import pytest
import torch

from skt_ext import losses
from tests.losses import loss_samples
from tests.losses.loss_samples import TOLERANCES, feature_pyramid, requiring_grad
from tests.support.random_features import FLOATS, on_every_device


def gradients(loss: torch.Tensor, features: list[torch.Tensor]) -> list[torch.Tensor]:
    results = torch.autograd.grad(loss.sum(), features, allow_unused=True)
    return [
        torch.zeros_like(feature) if result is None else result
        for feature, result in zip(features, results, strict=True)
    ]


@on_every_device
@loss_samples.for_every_loss
@loss_samples.of_every_reduction
@loss_samples.in_every_layout
@pytest.mark.parametrize("batch", [1, 3])
def test_value_and_gradient_equal_the_reference(ours, true, reduction, layout, batch, device):
    options = {"layout": layout, "device": device}
    student = requiring_grad(feature_pyramid(batch, seed=1, **options))
    teacher = feature_pyramid(batch, seed=11, **options)
    value, expected = ours(student, teacher, reduction=reduction), true(student, teacher, reduction=reduction)
    assert value.shape == expected.shape
    torch.testing.assert_close(value, expected, **TOLERANCES[torch.float64])
    for ours_gradient, true_gradient in zip(
        gradients(value, student), gradients(expected, student), strict=True
    ):
        torch.testing.assert_close(ours_gradient, true_gradient, **TOLERANCES[torch.float64])


@on_every_device
@loss_samples.for_every_loss
@pytest.mark.parametrize(
    ("student_dtype", "teacher_dtype"),
    [
        *((dtype, dtype) for dtype in FLOATS),
        (torch.float32, torch.float16),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.bfloat16),
        (torch.float32, torch.float64),
    ],
    ids=str,
)
def test_every_dtype_and_every_mixture(ours, true, student_dtype, teacher_dtype, device):
    student = requiring_grad(feature_pyramid(2, seed=1, dtype=student_dtype, device=device))
    teacher = feature_pyramid(2, seed=11, dtype=teacher_dtype, device=device)
    accumulator = torch.float64 if torch.float64 in (student_dtype, teacher_dtype) else torch.float32
    value = ours(student, teacher)
    assert value.dtype == accumulator

    true_student = requiring_grad([feature.double() for feature in student])
    expected = true(true_student, [feature.double() for feature in teacher])
    torch.testing.assert_close(value.double(), expected, **TOLERANCES[accumulator])
    for ours_gradient, true_gradient in zip(
        gradients(value, student), gradients(expected, true_student), strict=True
    ):
        assert ours_gradient.dtype == student_dtype
        torch.testing.assert_close(ours_gradient.double(), true_gradient, **TOLERANCES[student_dtype])


@on_every_device
@loss_samples.for_every_loss
@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 7), (5, 1), (2, 2), (7, 11), (16, 24), (17, 23)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_every_size(ours, true, size, device):
    student = requiring_grad(feature_pyramid(2, 1, *size, device=device))
    teacher = feature_pyramid(2, 11, *size, device=device)
    value, expected = ours(student, teacher), true(student, teacher)
    torch.testing.assert_close(value, expected)
    for ours_gradient, true_gradient in zip(
        gradients(value, student), gradients(expected, student), strict=True
    ):
        torch.testing.assert_close(ours_gradient, true_gradient)


@loss_samples.for_every_loss
def test_an_empty_batch_costs_nothing(ours, true):
    student, teacher = requiring_grad(feature_pyramid(0, seed=1)), feature_pyramid(0, seed=2)
    for reduction in ("sum", "batchmean"):
        value = ours(student, teacher, reduction=reduction)
        assert value.item() == 0
        assert all(gradient.shape[0] == 0 for gradient in gradients(value, student))
    assert ours(student, teacher, reduction="none").shape[0] == 0


@on_every_device
@loss_samples.for_every_loss
def test_a_batch_equals_its_single_images(ours, true, device):
    student = requiring_grad(feature_pyramid(3, seed=1, device=device))
    teacher = feature_pyramid(3, seed=11, device=device)
    batch = ours(student, teacher)
    singles = [
        ours([feature[i : i + 1] for feature in student], [feature[i : i + 1] for feature in teacher])
        for i in range(3)
    ]
    torch.testing.assert_close(sum(singles), batch)
    torch.testing.assert_close(ours(student, teacher, reduction="batchmean"), batch / 3)
    torch.testing.assert_close(ours(student, teacher, reduction="none").sum(), batch)


@on_every_device
@loss_samples.for_every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_two_runs_are_bit_identical(ours, true, dtype, device):
    def run() -> tuple[torch.Tensor, list[torch.Tensor]]:
        student = requiring_grad(feature_pyramid(3, seed=1, dtype=dtype, device=device))
        value = ours(student, feature_pyramid(3, seed=11, dtype=dtype, device=device))
        return value, gradients(value, student)

    (first, first_gradients), (second, second_gradients) = run(), run()
    assert torch.equal(first, second)
    assert all(map(torch.equal, first_gradients, second_gradients))


@on_every_device
@loss_samples.for_every_loss
def test_autocast_changes_nothing(ours, true, device):
    student = requiring_grad(feature_pyramid(2, seed=1, dtype=torch.float32, device=device))
    teacher = feature_pyramid(2, seed=11, dtype=torch.float32, device=device)
    plain = ours(student, teacher)
    with torch.autocast(device, dtype=torch.bfloat16):
        under_autocast = ours(student, teacher)
        autocast_gradients = gradients(under_autocast, student)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, plain)
    assert all(map(torch.equal, autocast_gradients, gradients(plain, student)))


@loss_samples.for_every_loss
def test_gradcheck(ours, true):
    teacher = feature_pyramid(2, 11, 5, 3)
    student = requiring_grad(feature_pyramid(2, 1, 5, 3))
    assert torch.autograd.gradcheck(lambda *features: ours(features, teacher), student)


@loss_samples.for_every_loss
def test_identical_features_cost_nothing(ours, true):
    features = feature_pyramid(2, seed=1)
    torch.testing.assert_close(ours(features, features), torch.zeros((), dtype=torch.float64))


def check_compiled(ours: loss_samples.Loss, *, sizes: list[tuple[int, int]], **options: object) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(ours, fullgraph=True, **options)
    for size in sizes:
        student = requiring_grad(feature_pyramid(2, 1, *size, dtype=torch.float32))
        teacher = feature_pyramid(2, 11, *size, dtype=torch.float32)
        eager, value = ours(student, teacher), compiled(student, teacher)
        torch.testing.assert_close(value, eager)
        for compiled_gradient, eager_gradient in zip(
            gradients(value, student), gradients(eager, student), strict=True
        ):
            torch.testing.assert_close(compiled_gradient, eager_gradient)


@loss_samples.for_every_loss
def test_compiles_without_a_graph_break(ours, true):
    check_compiled(ours, sizes=[(13, 9)], backend="aot_eager")


def test_compiles_for_changing_sizes():
    def both(student: list[torch.Tensor], teacher: list[torch.Tensor]) -> torch.Tensor:
        relation = losses.dense_fsp_loss(student[1:3], teacher[1:3], normalize="instance")
        return relation + losses.cosine_transfer_loss(student[0], teacher[0])

    check_compiled(both, sizes=[(13, 9), (16, 11)], backend="aot_eager", dynamic=True)


@loss_samples.for_every_loss
def test_a_teacher_that_wants_a_gradient_is_refused(ours, true):
    student, teacher = feature_pyramid(1, seed=1), feature_pyramid(1, seed=2)
    teacher[0].requires_grad_()
    with pytest.raises(
        ValueError, match=r"^teacher\S* requires a gradient, but it is a fixed target: compute it "
    ):
        ours(student, teacher)
    with torch.no_grad():
        ours(student, teacher)
