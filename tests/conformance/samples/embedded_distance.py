"""embedded_distance and embedded_distance_backward."""

import itertools
from functools import partial

import torch

from skt_ext.ops import OPERATORS
from tests.conformance.sample import Arguments, Refusal, Sample, Tested, name_of
from tests.conformance.tensors import BFLOAT, DOUBLE, FLOAT, FLOATS, HALF, LAYOUTS, OF_FEATURES, normal, steps

NAN = float("nan")


def call(
    channels=(5, 9),  # of student and teacher
    size=(6, 7),
    kernel=(2, 2),
    batch=2,
    dtypes=(FLOAT, FLOAT, FLOAT, FLOAT),  # of student, weight, bias, teacher
    layouts=("contiguous", "contiguous"),  # of student and teacher
    relu=True,
    bias=True,
    compares=True,
    eps=1e-8,
    values=normal,
    special=None,
) -> Arguments:
    of_student, of_weight, of_bias, of_teacher = dtypes
    inputs, outputs = channels
    student = values(batch, inputs, *size, dtype=of_student, seed=1)
    teacher = values(batch, outputs, *size, dtype=of_teacher, seed=2)
    if special == "zeros":  # with no bias, an embedding of zero
        student[:, :, 1] = 0
    if special == NAN:
        student[0, 2, 3, 4] = NAN
    weight = values(outputs, inputs, dtype=of_weight, seed=3)
    return dict(
        student=LAYOUTS[layouts[0]](student),
        weight=weight.mT.contiguous().mT if special == "transposed weight" else weight,
        bias=values(outputs, dtype=of_bias, seed=4) if bias else None,
        teacher=LAYOUTS[layouts[1]](teacher) if compares else None,
        relu=relu, eps=eps, kernel_h=kernel[0], kernel_w=kernel[1],
    )  # fmt: skip


def backward(grad_pooled="normal", **options) -> Arguments:
    forward = call(**options)
    loss, pooled, argmax, statistics = OPERATORS["embedded_distance"].reference(**forward)
    relu, eps, kernel_h, kernel_w = (forward.pop(name) for name in ("relu", "eps", "kernel_h", "kernel_w"))
    pooled = (
        normal(*pooled.shape, dtype=pooled.dtype, seed=5) if kernel_h and grad_pooled == "normal" else None
    )
    if grad_pooled == "expanded":
        pooled = torch.tensor(0.5, dtype=loss.dtype).expand(argmax.shape)
    return dict(
        grad_loss=torch.tensor(0.7, dtype=loss.dtype), grad_pooled=pooled, **forward, argmax=argmax,
        statistics=statistics, relu=relu, eps=eps, kernel_h=kernel_h, kernel_w=kernel_w,
    )  # fmt: skip


ALL_DOUBLE = (DOUBLE,) * 4
SMALL = dict(channels=(3, 4), size=(4, 5), batch=1, dtypes=ALL_DOUBLE)
OPTIONS: list[tuple[tuple[str, ...], dict]] = [
    (("opcheck",), {}),
    (("gradcheck", "opcheck"), SMALL),
    (("gradcheck",), SMALL | dict(relu=False, bias=False, kernel=(0, 0))),
    (("opcheck",), dict(layouts=("channels_last", "contiguous"), dtypes=(BFLOAT, FLOAT, FLOAT, HALF))),
    (("opcheck",), dict(compares=False, kernel=(1, 1), bias=False)),
    *(
        ((), dict(relu=relu, bias=bias, compares=compares, kernel=kernel))
        for relu, bias, compares, kernel in itertools.product(
            (False, True), (False, True), (False, True), ((0, 0), (1, 1), (2, 2), (3, 5))
        )
    ),
    *(
        ((), dict(channels=(20, 36), size=(5, 12), dtypes=dtypes, layouts=layouts))  # packs of 16 bytes
        for dtypes in [(d,) * 4 for d in FLOATS] + [(BFLOAT, FLOAT, FLOAT, HALF), (FLOAT, BFLOAT, HALF,
            BFLOAT), (DOUBLE, FLOAT, FLOAT, HALF)]
        for layouts in itertools.product(("contiguous", "channels_last"), repeat=2)
    ),
    *(((), dict(channels=(4, 12), size=(6, 8), layouts=pair)) for pair in itertools.product(OF_FEATURES,
        OF_FEATURES)),
    *(
        ((), dict(channels=(8, 12), size=(4, 8), layouts=pair, dtypes=(d,) * 4))
        for pair in (("unaligned", "contiguous"), ("unaligned_channels_last", "channels_last"),
            ("contiguous", "unaligned"), ("permuted", "every_second_column"))
        for d in (FLOAT, HALF)
    ),
    *(
        ((), dict(channels=(4, 5), size=(height, width), kernel=kernel, batch=1))
        for height, width, kernel in [
            (1, 1, (1, 1)), (1, 1, (8, 8)), (8, 64, (8, 8)), (9, 65, (8, 8)), (16, 36, (4, 4)), (7, 33, (4,
                4)),
            (5, 67, (2, 2)), (3, 130, (1, 2)), (130, 3, (2, 1)), (7, 11, (3, 5)), (12, 30, (3, 6)), (19, 23,
                (9, 7)),
            (17, 33, (16, 16)), (2, 300, (1, 256)), (300, 2, (256, 1)), (3, 41, (2, 40)), (11, 10, (10, 9)),
        ]
    ),
    *(
        ((), dict(channels=channels, size=(5, 14), kernel=kernel, batch=1))
        for channels in [(1, 1), (16, 64), (17, 63), (32, 128), (33, 65), (64, 256), (80, 48), (128, 70),
            (65, 130)]
        for kernel in ((0, 0), (2, 2))
        if channels != (1, 1) or kernel != (0, 0)  # the gradient of a single channel's cosine is 0
    ),
    *(((), dict(channels=(66, 65), size=(2, 5),
        layouts=layouts)) for layouts in itertools.product(("contiguous", "channels_last"), repeat=2)),
    *(((), dict(batch=batch)) for batch in (0, 1, 3)),
    *(
        ((), dict(values=steps, size=(20, 20), kernel=(10, 10), relu=relu, layouts=(layout, layout)))  # ties
        for relu in (False, True)
        for layout in ("contiguous", "channels_last")
    ),
    *(((), dict(special=special, bias=False, layouts=(layout, layout))) for special in ("zeros", NAN,
        "transposed weight") for layout in ("contiguous", "channels_last")),
    ((), dict(eps=3.0, relu=False)),
    (("several blocks",), dict(channels=(3, 7), size=(220, 226), kernel=(4, 4), batch=1)),
    (("several blocks",), dict(channels=(80, 70), size=(100, 520), kernel=(0, 0), batch=1)),
    *((("native",), dict(channels=(16, 48), size=(70, 60), kernel=(4, 4), layouts=(layout,
        layout))) for layout in ("contiguous", "channels_last")),
]  # fmt: skip

SAMPLES = [
    Sample("embedded_distance", name_of(options), partial(call, **options), frozenset(tags))
    for tags, options in OPTIONS
    if options.get("size")
    != (100, 520)  # what blocks of several tiles leave unfinished is of the backward pass
]
BACKWARD_SAMPLES = [
    *(
        Sample(
            "embedded_distance_backward", name_of(options), partial(backward, **options),
            frozenset(tags) - {"gradcheck"},
        )
        for tags, options in OPTIONS
        if options.get("compares", True) or options.get("kernel") != (0, 0)
    ),
    *(
        Sample("embedded_distance_backward", f"grad_pooled={kind}", partial(backward, grad_pooled=kind))
        for kind in ("none", "expanded")
    ),
]  # fmt: skip


def magnitudes(arguments: Arguments) -> list[float | None]:
    """Each distance is of the order of one."""
    pixels = arguments["student"][:, :1].numel()
    return [max(pixels, 1), None, None, None]


S, W, B, T = torch.ones(2, 5, 6, 7), torch.ones(9, 5), torch.ones(9), torch.ones(2, 9, 6, 7)


def refused(message: str, operator: str = "embedded_distance", **changed) -> Refusal:
    return Refusal(operator, f"^skt_ext::{operator}: {message}", changed)


of_both = (
    (r"student must have the axes \(N, Cs, H, W\); got shape \(5, 6, 7\)", dict(student=S[0])),
    (r"student must have Cs, H and W of at least 1; got \(2, 5, 0, 7\)", dict(student=S[:, :, :0])),
    ("student must have dtype .*; got Int", dict(student=S.int())),
    (r"weight must have shape \(Ct, Cs\) = \(9, 5\); got \(9, 4\)", dict(weight=W[:, 1:])),
    (r"weight must have the axes \(Ct, Cs\); got shape \(9, 5, 1, 1\)", dict(weight=W[:, :, None, None])),
    (r"weight must have at least one row; got \(0, 5\)", dict(weight=W[:0], bias=None, teacher=None)),
    ("weight must have dtype .*; got Long", dict(weight=W.long())),
    (r"bias must have shape \(Ct,\) = \(9,\); got \(8,\)", dict(bias=B[1:])),
    ("bias must have dtype .*; got Bool", dict(bias=B.bool())),
    (r"teacher must have shape \(N, Ct, H, W\) = \(2, 9, 6, 7\); got \(2, 9, 5, 7\)", dict(teacher=T[:, :,
        1:])),
    (r"teacher must have shape .*; got \(2, 8, 6, 7\)", dict(teacher=T[:, 1:])),
    ("teacher must have dtype .*; got Byte", dict(teacher=T.byte())),
    *((f"{name} must be on the device of student", {name: value.to("meta")}) for name,
        value in dict(weight=W, bias=B, teacher=T).items()),
    ("eps must .*; got -1", dict(eps=-1.0)),
    ("eps must .*; got nan", dict(eps=NAN)),
    (r"the kernel .* at most 256 cells, or \(0, 0\); got \(17, 16\)", dict(kernel_h=17, kernel_w=16)),
    (r"the kernel .*; got \(0, 2\)", dict(kernel_h=0, kernel_w=2)),
    (r"the kernel .*; got \(2, 0\)", dict(kernel_h=2, kernel_w=0)),
    (r"the kernel .*; got \(-1, -1\)", dict(kernel_h=-1, kernel_w=-1)),
    (r"the kernel .*", dict(kernel_h=2**62, kernel_w=4)),
    (r"the kernel .*", dict(kernel_h=2**63 - 1, kernel_w=2**63 - 1)),
)  # fmt: skip

EMBEDDED = Tested(
    "embedded_distance", SAMPLES, [refused(message, **changed) for message, changed in of_both], magnitudes,
    images=("student", "teacher"), differentiable=("student", "weight", "bias"), differentiated=(0, 1),
    fixed=("teacher",),
)  # fmt: skip

P, STATISTICS = torch.ones(2, 9, 3, 4), torch.ones(2, 3, 6, 7)
of_backward = partial(refused, operator="embedded_distance_backward")
EMBEDDED_BACKWARD = Tested(
    "embedded_distance_backward",
    BACKWARD_SAMPLES,
    [
        *(of_backward(message, **changed) for message, changed in of_both),
        of_backward(r"grad_loss must have the axes \(\); got shape \(1,\)", grad_loss=torch.ones(1)),
        of_backward("grad_loss must have dtype Float; got Double", grad_loss=torch.ones((), dtype=DOUBLE)),
        of_backward(
            r"grad_pooled must have shape .* = \(2, 9, 3, 4\); got \(2, 9, 3, 3\)", grad_pooled=P[..., 1:]
        ),
        of_backward("grad_pooled must have dtype Float; got Half", grad_pooled=P.half()),
        of_backward(r"grad_pooled must not be given with a kernel of \(0, 0\)", kernel_h=0, kernel_w=0),
        of_backward(r"argmax must have shape .*; got \(2, 9, 2, 4\)", argmax=P[:, :, 1:].byte()),
        of_backward("argmax must have dtype Byte; got Int", argmax=P.int()),
        of_backward(
            r"statistics must have shape .* = \(2, 3, 6, 7\); got \(2, 2, 6, 7\)",
            statistics=STATISTICS[:, 1:],
        ),
        of_backward("statistics must have dtype Float; got Double", statistics=STATISTICS.double()),
        *(
            of_backward(f"{name} must be on the device of student", **{name: value.to("meta")})
            for name, value in dict(
                grad_loss=torch.ones(()), grad_pooled=P, argmax=P.byte(), statistics=STATISTICS
            ).items()
        ),
    ],
    images=("grad_pooled", "student", "teacher", "argmax", "statistics"),
)
