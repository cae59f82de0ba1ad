"""What torch knows of the operators: schemas, opcheck, refused gradients, second derivatives."""

import pytest
import torch

import skt_ext  # noqa: F401  (registers the operators)
from skt_ext import _library
from tests.support.random_features import random_feature

ops = torch.ops.skt_ext


def samples() -> list[tuple[str, tuple]]:
    student = random_feature((2, 5, 7, 3), seed=1)
    teacher = random_feature((2, 5, 7, 3), seed=2, dtype=torch.float32)
    grad = random_feature((2, 7, 3), seed=3)
    _, statistics = ops.cosine_distance(student, teacher, 1e-8)
    channels_last = student.contiguous(memory_format=torch.channels_last)
    permuted = random_feature((2, 5, 7, 3), seed=1, layout="permuted")
    pooled, argmax = ops.max_pool_resize(channels_last, 2, 4)
    packed_student, packed_teacher = random_feature((2, 6, 9), seed=4), random_feature((2, 6, 9), seed=5)
    _, difference = ops.dense_fsp_distance(packed_student, packed_teacher, [1, 2, 3], False, "float32")
    features = [
        random_feature((2, 2, 5, 7), seed=6),
        random_feature((2, 3, 3, 4), seed=7, dtype=torch.bfloat16),
    ]
    kernels = [2, 2, 1, 1]
    normalized = ops.pool_and_pack(features, kernels, True, True)
    plain = ops.pool_and_pack(features, kernels, False, True)
    weight, bias = (
        random_feature((4, 5, 1, 1), seed=8)[:, :, 0, 0],
        random_feature((4, 1, 1, 1), seed=9)[:, 0, 0, 0],
    )
    wide_teacher = random_feature((2, 4, 7, 3), seed=10)
    loss, of_embedded, winners, products = ops.embedded_distance(
        student, weight, bias, wide_teacher, True, 1e-8, 2, 4
    )
    grad_pooled = torch.ones_like(of_embedded)
    points = torch.tensor([[1.5, 2.5], [6.0, 0.0]], dtype=torch.float64)
    sigma = torch.tensor([1.0, 2.0], dtype=torch.float64)
    people, widths = points[:, None], sigma[:, None, None].expand(2, 1, 2).contiguous()
    offsets, roi = torch.tensor([0, 2]), torch.ones(1, 5, 7, dtype=torch.bool)
    image = random_feature((1, 3, 5, 7), seed=6, dtype=torch.float32)
    return [
        ("cosine_distance", (student.clone().requires_grad_(), teacher, 1e-8)),
        ("cosine_distance", (channels_last.clone().requires_grad_(), teacher, 1e-8)),
        ("cosine_distance", (permuted.requires_grad_(), teacher, 1e-8)),
        ("cosine_distance", (student.half().requires_grad_(), teacher.bfloat16(), 1e-8)),
        ("cosine_distance_backward", (grad, student, teacher, statistics, 1e-8)),
        ("cosine_distance_backward", (grad, permuted.detach(), teacher, statistics, 1e-8)),
        ("max_pool_resize", (student.clone().requires_grad_(), 3, 2)),
        ("max_pool_resize", (channels_last.clone().requires_grad_(), 17, 16)),
        ("max_pool_resize", (student.bfloat16().requires_grad_(), 1, 1)),
        ("max_pool_resize_backward", (pooled, argmax, 2, 4, 7, 3)),
        (
            "dense_fsp_distance",
            (packed_student.clone().requires_grad_(), packed_teacher, [1, 2, 3], False, "float32"),
        ),
        (
            "dense_fsp_distance",
            (packed_student.float().requires_grad_(), packed_teacher.float(), [6], True, "tf32"),
        ),
        (
            "dense_fsp_distance_backward",
            (torch.ones(2, dtype=torch.float64), packed_student, difference, [1, 2, 3], False, "float32"),
        ),
        ("cosine_loss", (student.clone().requires_grad_(), teacher, 1e-8, 1.0, True)),
        ("cosine_loss", (channels_last.bfloat16().requires_grad_(), teacher, 1e-8, 1.0, True)),
        ("cosine_loss", (permuted.detach(), teacher, 1e-8, 1.0, False)),
        ("rescale_", (student.clone(), torch.tensor(3.0, dtype=torch.float64), 0.5)),
        ("rescale_", (student.bfloat16(), torch.tensor(3.0), 0.5)),
        ("pool_and_pack", ([feature.clone().requires_grad_() for feature in features], kernels, True, True)),
        ("pool_and_pack", ([channels_last.clone().requires_grad_(), student], [3, 1, 3, 1], False, True)),
        ("pool_and_pack", (features, kernels, False, False)),
        ("pool_and_pack_backward", (torch.ones_like(plain[0]), *plain, features, kernels)),
        ("pool_and_pack_backward", (torch.ones_like(plain[0]), *normalized, features, kernels)),
        (
            "embedded_distance",
            (
                student.clone().requires_grad_(),
                weight,
                bias.clone().requires_grad_(),
                wide_teacher,
                True,
                1e-8,
                2,
                4,
            ),
        ),
        (
            "embedded_distance",
            (channels_last.float(), weight.bfloat16().requires_grad_(), None, None, False, 1e-8, 1, 1),
        ),
        ("embedded_distance", (student, weight, bias, wide_teacher, False, 1e-8, 0, 0)),
        (
            "embedded_distance_backward",
            (loss, grad_pooled, student, weight, bias, wide_teacher, winners, products, True, 1e-8, 2, 4),
        ),
        (
            "embedded_distance_backward",
            (loss, None, channels_last, weight, None, wide_teacher, winners, products, False, 1e-8, 0, 0),
        ),
        ("density_splat", (people, widths, offsets, 5, 7, 1, 4.0, True, False, None)),
        ("density_splat", (people, widths, offsets, 5, 7, 2, 4.0, False, True, roi)),
        ("geodesic_splat", (points, sigma, offsets, 5, 7, 2, 4.0, True, roi, image, 0.5, 10.0)),
        ("geodesic_splat", (points, sigma, offsets, 5, 7, 1, 4.0, False, None, None, 0.0, 10.0)),
        ("geodesic_neighbors", (points, 3, 5, 7, roi, image, 0.5, 10.0)),
    ]


@pytest.mark.parametrize("index", range(len(samples())), ids=lambda i: f"{i}-{samples()[i][0]}")
def test_opcheck(index):
    name, arguments = samples()[index]
    result = torch.library.opcheck(getattr(ops, name).default, arguments)
    assert set(result) == {
        "test_schema",
        "test_autograd_registration",
        "test_faketensor",
        "test_aot_dispatch_dynamic",
    }


def test_every_operator_has_an_opcheck_sample():
    assert {name for name, _ in samples()} == set(_library.BACKENDS)


@pytest.mark.parametrize("schema", _library.SCHEMAS, ids=lambda schema: schema.partition("(")[0])
def test_registered_schema_is_the_one_in_python(schema):
    name = schema.partition("(")[0]
    registered = getattr(ops, name).default._schema
    assert str(registered) == str(torch._C.parse_schema(f"skt_ext::{schema}"))


def test_a_gradient_for_anything_but_the_student_is_refused():
    feature, fixed = random_feature((1, 2, 3, 4)), random_feature((1, 2, 3, 4)).requires_grad_()
    with pytest.raises(RuntimeError, match=r"^teacher requires a gradient, .*: pass teacher\.detach\(\)$"):
        ops.cosine_distance(feature, fixed, 1e-8)
    with pytest.raises(RuntimeError, match=r"^teacher requires a gradient"):
        ops.cosine_loss(feature, fixed, 1e-8, 1.0, True)
    with pytest.raises(RuntimeError, match=r"^teacher requires a gradient"):
        ops.embedded_distance(feature, torch.ones(2, 2), None, fixed, False, 1e-8, 0, 0)
    with pytest.raises(RuntimeError, match=r"^teacher requires a gradient"):
        ops.dense_fsp_distance(feature.flatten(2), fixed.flatten(2), [1, 1], False, "float32")
    points, sigma, offsets = torch.ones(1, 2).double(), torch.ones(1).double(), torch.tensor([0, 1])
    people, widths, image = points[:, None], torch.ones(1, 1, 2).double(), torch.zeros(1, 1, 4, 4)
    with pytest.raises(RuntimeError, match=r"^points requires a gradient"):
        ops.density_splat(people.clone().requires_grad_(), widths, offsets, 4, 4, 1, 4.0, True, False, None)
    with pytest.raises(RuntimeError, match=r"^sigma requires a gradient"):
        ops.density_splat(people, widths.clone().requires_grad_(), offsets, 4, 4, 1, 4.0, True, False, None)
    geodesic = (offsets, 4, 4, 1, 4.0, True, None)
    with pytest.raises(RuntimeError, match=r"^points requires a gradient"):
        ops.geodesic_splat(points.clone().requires_grad_(), sigma, *geodesic, image, 0.5, 1.0)
    with pytest.raises(RuntimeError, match=r"^sigma requires a gradient"):
        ops.geodesic_splat(points, sigma.clone().requires_grad_(), *geodesic, image, 0.5, 1.0)
    with pytest.raises(RuntimeError, match=r"^image requires a gradient"):
        ops.geodesic_splat(points, sigma, *geodesic, image.clone().requires_grad_(), 0.5, 1.0)
    with pytest.raises(RuntimeError, match=r"^image requires a gradient"):
        ops.geodesic_neighbors(points, 1, 4, 4, None, image.clone().requires_grad_(), 0.5, 1.0)


SINGLE_OUTPUT_CALLS = {
    "cosine_distance": lambda s: ops.cosine_distance(s, torch.ones_like(s), 1e-8)[0],
    "cosine_loss": lambda s: ops.cosine_loss(s, torch.ones_like(s), 1e-8, 1.0, True)[0],
    "max_pool_resize": lambda s: ops.max_pool_resize(s, 2, 2)[0].square(),
    "pool_and_pack": lambda s: ops.pool_and_pack([s, s], [2, 2, 2, 2], False, True)[0].square(),
    "dense_fsp_distance": lambda s: ops.dense_fsp_distance(
        s.flatten(2), torch.ones_like(s).flatten(2), [1, 2], False, "float32"
    )[0],
    "embedded_distance": lambda s: ops.embedded_distance(
        s, torch.ones(2, 3, dtype=s.dtype), None, torch.ones_like(s)[:, :2], False, 1e-8, 0, 0
    )[0],
}


@pytest.mark.parametrize("name", SINGLE_OUTPUT_CALLS)
def test_a_second_derivative_is_refused(name):
    student = random_feature((1, 3, 4, 4)).requires_grad_()
    loss = SINGLE_OUTPUT_CALLS[name](student).sum()
    (first,) = torch.autograd.grad(loss, student, create_graph=True)
    with pytest.raises(
        RuntimeError,
        match=f"^skt_ext::{name} has no second derivative: do not call backward with create_graph=True$",
    ):
        first.square().sum().backward()


def test_only_the_distance_is_differentiable():
    student = random_feature((1, 3, 4, 4)).requires_grad_()
    distance, statistics = ops.cosine_distance(student, torch.ones_like(student), 1e-8)
    assert distance.requires_grad
    assert not statistics.requires_grad
    _, difference = ops.dense_fsp_distance(
        student.flatten(2), student.detach().flatten(2), [1, 2], False, "float32"
    )
    assert not difference.requires_grad


def test_what_the_gradient_needs_must_have_been_asked_for():
    student = random_feature((1, 3, 4, 4)).requires_grad_()
    with pytest.raises(
        RuntimeError, match="cosine_loss needs with_gradient=True where student requires a gradient"
    ):
        ops.cosine_loss(student, torch.ones_like(student), 1e-8, 1.0, False)
    with pytest.raises(
        RuntimeError, match="pool_and_pack needs with_argmax=True where features require a gradient"
    ):
        ops.pool_and_pack([student], [1, 1], False, False)
