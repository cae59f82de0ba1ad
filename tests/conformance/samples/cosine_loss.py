"""cosine_loss and rescale_."""

import itertools
from functools import partial

import torch

from tests.conformance.sample import Arguments, Refusal, Sample, Tested, name_of
from tests.conformance.tensors import BFLOAT, DOUBLE, FLOAT, FLOATS, HALF, LAYOUTS, OF_FEATURES, normal

NAN, INF = float("nan"), float("inf")
BOTH = ("contiguous", "channels_last")


def call(
    shape=(2, 5, 7, 3),
    dtypes=(FLOAT, FLOAT),
    layouts=("contiguous", "contiguous"),
    eps=1e-8,
    scale=1.0,
    with_gradient=True,
    per_pixel=False,
    special=None,
) -> Arguments:
    student = normal(*shape, dtype=dtypes[0], seed=1)
    teacher = normal(*shape, dtype=dtypes[1], seed=2)
    if special == "zero vectors":
        student[:, :, 1, 2], teacher[:, :, 2, 0], student[:, :, 0, 1] = 0, 0, student[:, :, 0, 1] * 1e-10
    if special in (NAN, INF):
        student[0, 1, 1, 2], teacher[-1, 0, 0, 0] = special, special
    if special == "equal":
        teacher = student.clone()
    student, teacher = LAYOUTS[layouts[0]](student), LAYOUTS[layouts[1]](teacher)
    if special == "expanded teacher":
        teacher = teacher[:1, :, :1].expand(shape)
    return dict(
        student=student,
        teacher=teacher,
        eps=eps,
        scale=scale,
        with_gradient=with_gradient,
        per_pixel=per_pixel,
    )


def every_half(dtype: torch.dtype) -> Arguments:
    """Every value of a half type, as a student (v, 0) with the teacher (0, 1): the gradient is (0, 1 / |v|)."""
    values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    values = values[(values.abs() > 1e-15) & (values.abs() < 1e15)]  # whose squares float32 holds
    student = torch.stack([values, torch.zeros_like(values)]).view(1, 2, 1, -1)
    teacher = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(student.shape)
    return call() | dict(student=student, teacher=teacher, eps=1e-35, scale=1.0)


def sample(*tags: str, **options) -> Sample:
    return Sample("cosine_loss", name_of(options), partial(call, **options), frozenset(tags))


SHAPES = [
    # no image, one pixel, a row, a column, primes, no pixel, no channel, many pixels, more channels than kept
    (0, 3, 5, 4), (1, 1, 1, 1), (1, 3, 1, 7), (2, 5, 11, 1), (3, 7, 13, 5), (2, 33, 3, 2), (2, 5, 0, 3),
    (1, 0, 2, 2), (1, 16, 17, 19), (1, 512, 3, 8), (1, 1100, 3, 8), (1, 2, 1, 530),
]  # fmt: skip

SAMPLES = [
    sample("opcheck"),
    sample("gradcheck", dtypes=(DOUBLE, DOUBLE)),
    sample("gradcheck", dtypes=(DOUBLE, DOUBLE), eps=1.9),
    sample("gradcheck", dtypes=(DOUBLE, DOUBLE), layouts=("channels_last", "contiguous"), per_pixel=True),
    *(
        sample(shape=shape, layouts=(layout, layout), per_pixel=per_pixel, scale=-1.5)
        for shape, layout, per_pixel in itertools.product(SHAPES, BOTH, (False, True))
    ),
    *(
        sample(shape=(2, 24, 5, 16), dtypes=dtypes, layouts=(layout, layout))  # packs of 16 bytes everywhere
        for dtypes, layout in itertools.product(itertools.product(FLOATS, FLOATS), BOTH)
    ),
    *(
        sample(shape=(2, 11, 1, 37), dtypes=dtypes, layouts=(layout, layout))  # and nowhere
        for dtypes, layout in itertools.product([(HALF, HALF), (BFLOAT, FLOAT), (FLOAT, HALF)], BOTH)
    ),
    *(sample(shape=(2, 12, 5, 8), layouts=pair) for pair in itertools.product(OF_FEATURES, OF_FEATURES)),
    *(
        sample(shape=(2, 16, 4, 8), dtypes=(dtype, dtype), layouts=pair)
        for dtype in (FLOAT, BFLOAT)
        for pair in [
            ("unaligned", "contiguous"), ("contiguous", "unaligned"), ("permuted", "every_second_column"),
            ("unaligned_channels_last", "channels_last"), ("channels_last", "unaligned_channels_last"),
        ]
    ),
    *(
        sample(layouts=(layout, layout), dtypes=(dtype, dtype), special=special)
        for layout in BOTH
        for dtype in (FLOAT, HALF)
        for special in ("zero vectors", NAN, INF, "equal")
    ),
    *(sample(layouts=(layout, layout), eps=1.9, per_pixel=True) for layout in BOTH),
    sample(special="expanded teacher"),
    *(sample(layouts=(layout, layout), with_gradient=False) for layout in BOTH),
    sample("opcheck", dtypes=(HALF, BFLOAT), layouts=("channels_last", "contiguous")),
    sample("opcheck", dtypes=(BFLOAT, FLOAT), layouts=("channels_last", "contiguous"), per_pixel=True),
    sample("opcheck", layouts=("permuted", "contiguous"), with_gradient=False),
    Sample("cosine_loss", "every float16", partial(every_half, HALF), frozenset({"several blocks"})),
    Sample("cosine_loss", "every bfloat16", partial(every_half, BFLOAT), frozenset({"native"})),
    *(sample("several blocks", shape=(1, 4, 128, 132), layouts=(layout, layout)) for layout in BOTH),
    *(
        sample("native", shape=shape, layouts=(layout, layout), dtypes=(dtype, dtype), per_pixel=per_pixel)
        for shape in [(2, 20, 70, 60), (1, 24, 301, 307)]  # gradients that fit in the caches, and not
        for layout, dtype, per_pixel in itertools.product(BOTH, (FLOAT, BFLOAT), (False, True))
    ),
]  # fmt: skip


def magnitudes(arguments: Arguments) -> list[torch.Tensor | float]:
    """Each distance is of the order of one, its gradient of that of 1 / |s|."""
    student = arguments["student"].double()
    lengths = student.norm(dim=1, keepdim=True).clamp(min=arguments["eps"])
    pixels = student[:, :1].numel()
    of_gradient = abs(arguments["scale"]) / lengths if arguments["with_gradient"] else 0.0
    return [1.0 if arguments["per_pixel"] else max(pixels, 1), of_gradient]


X = torch.ones(2, 5, 7, 3)


def refused(message: str, **changed) -> Refusal:
    return Refusal("cosine_loss", f"^skt_ext::cosine_loss: {message}", changed)


REFUSALS = [
    refused(r"student must have the axes \(N, C, H, W\); got shape \(2, 3\)", student=torch.ones(2, 3)),
    refused(
        r"teacher must have shape \(N, C, H, W\) of student = \(2, 5, 7, 3\); got \(2, 5, 7, 4\)",
        teacher=torch.ones(2, 5, 7, 4),
    ),
    refused(r"teacher must have shape .*; got \(1, 5, 7, 3\)", teacher=X[:1]),
    refused("teacher must have dtype Double or Float or Half or BFloat16; got Int", teacher=X.int()),
    refused("student must have dtype Double or Float or Half or BFloat16; got Bool", student=X.bool()),
    refused("teacher must be on the device of student", teacher=X.to("meta")),
    refused("eps must .*; got -1", eps=-1.0),
    refused("eps must .*; got nan", eps=NAN),
    refused("scale must .*; got 0", scale=0.0),
    refused("scale must .*; got inf", scale=INF),
    refused("scale must .*; got nan", scale=NAN),
]

COSINE_LOSS = Tested(
    "cosine_loss", SAMPLES, REFUSALS, magnitudes, images=("student", "teacher"), differentiable=("student",),
    fixed=("teacher",),
)  # fmt: skip


# rescale_


def rescaling(
    shape=(3, 5, 7, 9), dtype=FLOAT, grad_dtype=FLOAT, layout="contiguous", grad=0.75, scale=0.5
) -> Arguments:
    gradient = normal(*shape, dtype=dtype, layout=layout)
    return dict(gradient=gradient, grad=torch.tensor(grad, dtype=grad_dtype), scale=scale)


def rescale(*tags: str, **options) -> Sample:
    return Sample("rescale_", name_of(options), partial(rescaling, **options), frozenset(tags))


def not_dense(message: str, **changed) -> Refusal:
    return Refusal("rescale_", f"^skt_ext::rescale_: {message}", changed)


RESCALE = Tested(
    "rescale_",
    [
        rescale("opcheck"),
        *(
            rescale(dtype=dtype, grad_dtype=grad_dtype, layout=layout)
            for dtype, grad_dtype, layout in itertools.product(
                FLOATS, (FLOAT, DOUBLE), ("contiguous", "channels_last", "unaligned")
            )
        ),
        *(rescale(dtype=dtype, shape=(2, 4, 5, 8)) for dtype in FLOATS),
        rescale("opcheck", dtype=BFLOAT, layout="channels_last"),
        rescale(grad=0.5),
        rescale(shape=(0, 3, 4, 5)),
        rescale(grad=NAN),
        rescale("native", shape=(1, 24, 301, 307)),
        rescale("native", shape=(1, 24, 301, 307), dtype=HALF, layout="channels_last"),
    ],
    [
        not_dense("scale must .*; got 0|scale must not be 0", scale=0.0),
        not_dense(r"grad must have shape \(\) = \(\); got \(2,\)", grad=torch.ones(2)),
        not_dense("gradient must have dtype .*; got Long", gradient=torch.ones(2, 3, 4, 5, dtype=torch.long)),
        not_dense("grad must have dtype .*; got Long", grad=torch.tensor(1)),
        not_dense("grad must be on the device of gradient", grad=torch.tensor(1.0, device="meta")),
        not_dense("gradient must be .*", gradient=torch.ones(1).expand(2, 3, 4, 5)),
        not_dense("gradient must be .*", gradient=torch.ones(2, 3, 4, 10)[..., ::2]),
    ],
    mutated="gradient",
)
