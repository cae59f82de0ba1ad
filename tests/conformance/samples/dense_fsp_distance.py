"""dense_fsp_distance and dense_fsp_distance_backward."""

import itertools
from functools import partial

import torch
from torch import Tensor

from tests.conformance.sample import Arguments, Refusal, Sample, Tested, name_of
from tests.conformance.tensors import DOUBLE, FLOAT, LAYOUTS, normal

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


def call(
    batch=2, channels=(5, 1, 9), positions=33, dtype=FLOAT, adjacent=False, precision="float32",
        layout="contiguous",
    nan=False,
) -> Arguments:  # fmt: skip
    student, teacher = (normal(batch, sum(channels), positions, dtype=dtype, seed=seed) for seed in (1, 2))
    if nan:
        student[-1, 1, 3] = float("nan")
    student, teacher = LAYOUTS[layout](student), LAYOUTS[layout](teacher)
    return dict(
        student=student, teacher=teacher, channels=list(channels), adjacent=adjacent, precision=precision
    )


def backward(expanded=False, **options) -> Arguments:
    """A difference as the forward pass makes them: symmetric, 0 where no pair is compared."""
    forward = call(**options)
    student = forward["student"]
    feature = torch.repeat_interleave(
        torch.arange(len(forward["channels"])), torch.tensor(forward["channels"], dtype=torch.long)
    )
    apart = (feature[:, None] - feature).abs()
    compared = apart == 1 if forward["adjacent"] else apart > 0
    half = normal(len(student), len(feature), len(feature), dtype=student.dtype, seed=3)
    difference = LAYOUTS[options.get("layout", "contiguous")](torch.where(compared, half + half.mT, 0))
    grad = (
        torch.tensor(-0.5, dtype=student.dtype).expand(len(student))
        if expanded
        else torch.linspace(0.5, -2, len(student), dtype=student.dtype)
    )
    del forward["teacher"]
    return dict(grad=grad, student=forward.pop("student"), difference=difference, **forward)


def rounded(operand: Tensor, precision: str) -> Tensor:
    """An operand of a product as a tensor core takes it, in float64."""
    if operand.dtype == DOUBLE or precision == "float32":
        return operand.double()
    if precision == "tf32":  # 10 bits of mantissa, to nearest, ties away from zero
        bits = operand.contiguous().view(torch.int32)
        return torch.where(operand.isnan(), operand, ((bits + 0x1000) & ~0x1FFF).view(FLOAT)).double()
    return operand.to(getattr(torch, precision)).double()


def rounded_call(arguments: Arguments) -> Arguments:
    precision = arguments["precision"]
    operands = ("student", "teacher")
    if "difference" in arguments:  # which may lie beyond float16's range
        precision, operands = (
            precision.replace("float16", "tf32") if precision == "float16" else precision,
            ("student", "difference"),
        )
    exact = {name: rounded(arguments[name], precision) for name in operands}
    return arguments | exact | {"precision": "float32"}


OPTIONS: list[tuple[tuple[str, ...], dict]] = [
    (("opcheck",), {}),
    (("gradcheck", "opcheck"), dict(dtype=DOUBLE, channels=(2, 1, 3), positions=4)),
    (("gradcheck",), dict(dtype=DOUBLE, channels=(2, 1, 3), positions=4, adjacent=True)),
    (("opcheck",), dict(precision="tf32", adjacent=True)),
    *(
        ((), dict(channels=channels, positions=positions, adjacent=adjacent, dtype=dtype))
        for channels, positions in [
            ((1, 1), 1), ((5,), 4), ((), 4), ((3, 70, 1, 129), 37), ((33, 17), 70), ((7, 70, 60), 16),
                ((1,) * 9, 8),
        ]
        for adjacent, dtype in itertools.product((False, True), (FLOAT, DOUBLE))
    ),
    *(
        ((), dict(channels=channels, positions=positions, precision=precision, batch=batch))
        for precision in PRECISIONS
        for channels, positions, batch in [((8, 72, 60), 20, 2), ((4, 1, 130), 17, 1), ((8, 4), 24, 3), ((2,
            130), 5, 1)]
    ),
    *(((), dict(channels=(16, 129, 1), positions=12, adjacent=True, precision=p,
        batch=1)) for p in PRECISIONS),
    *(((), dict(batch=batch)) for batch in (0, 1, 3)),
    ((), dict(channels=(6, 10), positions=330, batch=1)),  # divided among blocks
    ((), dict(channels=(6, 10), positions=331, batch=1, precision="bfloat16")),
    *(((), dict(layout=layout)) for layout in ("transposed", "every_second_column", "unaligned")),
    *(((), dict(nan=True, precision=precision)) for precision in PRECISIONS),
    (("native",), dict(channels=(128, 64, 300), positions=400, batch=3)),
]  # fmt: skip


def samples(operator: str, make, untagged=frozenset()) -> list[Sample]:
    return [
        Sample(operator, name_of(options), partial(make, **options), frozenset(tags) - untagged)
        for tags, options in OPTIONS
    ]


A = torch.ones(2, 15, 33)


def refused(message: str, operator: str = "dense_fsp_distance", **changed) -> Refusal:
    return Refusal(operator, f"^skt_ext::{operator}: {message}", changed)


of_both = (
    (r"student must have the axes \(N, C, P\); got shape \(15, 33\)", dict(student=A[0])),
    (r"channels must sum to C = 15; got \(2, 3\)", dict(channels=[2, 3])),
    (r"channels must be positive; got \(0, 15\)", dict(channels=[0, 15])),
    ("channels must .*", dict(channels=[2**62, 2**62, 2**62, 2**62, 15])),  # whose sum overflows to 15
    ("student must have dtype Float or Double; got Half", dict(student=A.half())),
    (r"student must have at least one position P; got \(2, 15, 0\)", dict(student=A[..., :0])),
    ("precision must be float32, tf32, bfloat16 or float16; got half", dict(precision="half")),
)

DENSE_FSP = Tested(
    "dense_fsp_distance",
    samples("dense_fsp_distance", call),
    [
        *(refused(message, **changed) for message, changed in of_both),
        refused("teacher must have dtype Float; got Double", teacher=A.double()),
        refused(r"teacher must have shape .* = \(2, 15, 33\); got \(1, 15, 33\)", teacher=A[:1]),
        refused("teacher must be on the device of student", teacher=A.to("meta")),
    ],
    magnitudes=lambda arguments: [None, 1.0],
    rounded=rounded_call,
    images=("student", "teacher"),
    differentiable=("student",),
    fixed=("teacher",),
)

of_backward = partial(refused, operator="dense_fsp_distance_backward")
DENSE_FSP_BACKWARD = Tested(
    "dense_fsp_distance_backward",
    [
        *samples("dense_fsp_distance_backward", backward, untagged={"gradcheck"}),
        Sample("dense_fsp_distance_backward", "grad of a sum", partial(backward, expanded=True)),
    ],
    [
        *(of_backward(message, **changed) for message, changed in of_both),
        of_backward(r"grad must have shape \(N,\) = \(2,\); got \(3,\)", grad=torch.ones(3)),
        of_backward(r"grad must have dtype Float; got Double", grad=torch.ones(2, dtype=DOUBLE)),
        of_backward(
            r"difference must have shape .* = \(2, 15, 15\); got \(2, 15, 14\)", difference=A[..., :14]
        ),
        of_backward("difference must have dtype Float; got Double", difference=A[..., :15].double()),
        of_backward("difference must be on the device of student", difference=A[..., :15].to("meta")),
        of_backward("grad must be on the device of student", grad=torch.ones(2, device="meta")),
    ],
    rounded=rounded_call,
    images=("grad", "student", "difference"),
)
