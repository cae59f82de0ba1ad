"""pool_and_pack and pool_and_pack_backward."""

import itertools
from functools import partial

import torch

from skt_ext.ops import OPERATORS
from tests.conformance.sample import Arguments, Refusal, Sample, Tested, name_of
from tests.conformance.tensors import BFLOAT, DOUBLE, FLOAT, FLOATS, HALF, LAYOUTS, OF_FEATURES, normal, steps

NAN, INF = float("nan"), float("inf")


def largest(tensor: torch.Tensor) -> float:
    return float(tensor.double().abs().nan_to_num(0.0, 0.0, 0.0).max()) if tensor.numel() else 0.0


Feature = tuple[int, int, int, int, int]  # C, H, W, kernel_h, kernel_w

PYRAMID = ((3, 13, 9, 4, 4), (5, 7, 5, 2, 2), (1, 4, 3, 1, 1), (4, 4, 3, 1, 1))
UNLIKE = ((2, 17, 12, 4, 4), (8, 10, 5, 2, 2), (3, 5, 8, 1, 3), (1, 5, 3, 1, 1))  # to (5, 3)
PACKS = ((8, 8, 32, 2, 4), (16, 4, 8, 1, 1), (2, 16, 16, 4, 2))  # 16 bytes at a time
SINGLE = {
    "a pixel": (1, 1, 1, 1, 1),
    "a window larger than the map": (5, 1, 1, 3, 7),
    "windows that stick out": (3, 11, 13, 4, 3),
    "tiles one above the other": (1, 70, 60, 1, 1),
    "tiles side by side": (2, 3, 1100, 2, 2),
    "tiles of channels": (130, 5, 36, 1, 1),
    "wide rows of many channels": (72, 9, 48, 2, 1),
    "offsets up to 255": (2, 17, 50, 16, 16),
    "a window of 256 rows": (1, 257, 3, 256, 1),
    "a window of 256 columns": (1, 3, 300, 1, 256),
    "rows longer than a block": (2, 66, 80, 2, 2),
}


def call(
    features: tuple[Feature, ...] = PYRAMID,
    batch=2,
    dtypes=(FLOAT,),
    layouts=("contiguous",),
    normalize=True,
    with_argmax=True,
    values=normal,
    special=(),
    offset=0.0,
) -> Arguments:
    maps = []
    for i, (c, h, w, _, _) in enumerate(features):
        feature = (values(batch, c, h, w, dtype=DOUBLE, seed=i) + offset).to(dtypes[i % len(dtypes)])
        if special and feature.numel():
            chosen = torch.rand(feature.shape, generator=torch.Generator().manual_seed(i)) < 0.2
            feature[chosen] = torch.tensor(special, dtype=feature.dtype)[
                torch.arange(int(chosen.sum())) % len(special)
            ]
        maps.append(LAYOUTS[layouts[i % len(layouts)]](feature))
    kernels = [kernel for *_, h, w in features for kernel in (h, w)]
    return dict(features=maps, kernels=kernels, normalize=normalize, with_argmax=with_argmax)


def backward(forged=False, **options) -> Arguments:
    forward = call(**options)
    packed, argmax, inverse_deviation = OPERATORS["pool_and_pack"].reference(
        **forward | {"with_argmax": True}
    )
    if forged:  # an offset beyond every window
        argmax = torch.full_like(argmax, 255)
    grad = normal(*packed.shape, dtype=packed.dtype, seed=9)
    return dict(
        grad=grad, packed=packed, argmax=argmax, inverse_deviation=inverse_deviation,
            features=forward["features"],
        kernels=forward["kernels"],
    )  # fmt: skip


OPTIONS: list[tuple[tuple[str, ...], dict]] = [
    (("opcheck",), {}),
    (("gradcheck", "opcheck"), dict(features=UNLIKE[1:], dtypes=(DOUBLE,), batch=1, normalize=False)),
    (("gradcheck",), dict(features=UNLIKE[1:], dtypes=(DOUBLE,), batch=1)),
    (("opcheck",), dict(features=UNLIKE, dtypes=(FLOAT, HALF, BFLOAT), layouts=("contiguous",
        "channels_last"))),
    *(
        ((), dict(dtypes=(dtype,), layouts=(layout,), normalize=normalize))
        for dtype, layout, normalize in itertools.product(FLOATS, OF_FEATURES, (False, True))
    ),
    *(
        ((), dict(features=PACKS, dtypes=(dtype,), layouts=(layout,), normalize=False))
        for dtype, layout in itertools.product(FLOATS, ("contiguous", "channels_last", "unaligned"))
    ),
    *(((), dict(batch=batch, normalize=normalize)) for batch in (0, 1, 3) for normalize in (False, True)),
    *(
        ((), dict(features=UNLIKE, dtypes=(FLOAT, HALF, BFLOAT), layouts=layouts, normalize=normalize))
        for layouts in (("contiguous", "channels_last"), ("every_second_column", "permuted"))
        for normalize in (False, True)
    ),
    ((), dict(features=UNLIKE, dtypes=(DOUBLE, FLOAT, HALF, FLOAT))),
    *(
        ((), dict(features=PYRAMID, values=steps, normalize=False, layouts=(layout,), dtypes=(dtype,)))
        for layout in ("contiguous", "channels_last")
        for dtype in (FLOAT, HALF)
    ),
    *(
        ((), dict(features=(feature,), values=steps, normalize=normalize, layouts=(layout,), batch=1,
            dtypes=(dtype,)))
        for feature in SINGLE.values()
        for layout, normalize, dtype in (("contiguous", False, FLOAT), ("channels_last", True, HALF))
    ),
    *(
        ((), dict(features=features, special=(NAN, INF, -INF), normalize=False, layouts=(layout,),
            dtypes=(dtype,)))
        for features in (PYRAMID, PACKS)
        for layout in ("contiguous", "channels_last")
        for dtype in FLOATS
    ),
    ((), dict(special=(NAN,))),
    ((), dict(features=((2, 4, 4, 2, 2),), special=(-INF,) * 3, normalize=False)),
    ((), dict(features=((1, 32, 33, 1, 1),), offset=1000.0, dtypes=(HALF,))),
         # squares of the mean would cancel
    (("native",), dict(features=((17, 130, 131, 2, 2), (65, 65, 66, 1, 1)), layouts=("contiguous",))),
    (("native",), dict(features=((17, 130, 131, 2, 2), (65, 65, 66, 1, 1)), layouts=("channels_last",))),
]  # fmt: skip

SAMPLES = [
    *(
        Sample("pool_and_pack", name_of(options), partial(call, **options), frozenset(tags))
        for tags, options in OPTIONS
    ),
    *(
        Sample(
            "pool_and_pack", f"without argmax {name_of(options)}", partial(call, with_argmax=False, **options)
        )
        for options in ({}, dict(layouts=("channels_last",), normalize=False))
    ),
]
BACKWARD_SAMPLES = [
    Sample("pool_and_pack_backward", name_of(options), partial(backward, **options),
        frozenset(tags) - {"gradcheck"})
    for tags, options in OPTIONS
] + [
    Sample("pool_and_pack_backward", "a forged argmax", partial(backward, forged=True, features=UNLIKE[:2],
        normalize=False)),
    Sample(
        "pool_and_pack_backward", "a forged argmax, channels_last",
        partial(backward, forged=True, features=UNLIKE[:2], normalize=False, layouts=("channels_last",)),
    ),
]  # fmt: skip


def refused(message: str, operator: str = "pool_and_pack", **changed) -> Refusal:
    return Refusal(operator, f"^skt_ext::{operator}: {message}", changed)


MAPS = call()["features"]
KERNELS = call()["kernels"]


def instead_of_second(feature: torch.Tensor) -> dict:
    return dict(features=[MAPS[0], feature, *MAPS[2:]])


of_both = (
    ("features must hold at least one tensor; got none", dict(features=[], kernels=[])),
    (r"kernels must hold kernel_h and kernel_w of each of the 4 features; got \(2,\)", dict(kernels=[2])),
    (r"features\[1\] must have the axes \(N, C, H, W\); got shape \(5, 7, 5\)",
        instead_of_second(MAPS[1][0])),
    (r"features\[1\] must have dtype .*; got Int", instead_of_second(MAPS[1].int())),
    (r"features\[1\] must have the N of features\[0\], 2; got \(1, 5, 7, 5\)",
        instead_of_second(MAPS[1][:1])),
    (r"features\[1\] must have C, H and W of at least 1; got \(2, 0, 7, 5\)", instead_of_second(MAPS[1][:,
        :0])),
    (r"features\[1\] must be on the device of features\[0\]", instead_of_second(MAPS[1].to("meta"))),
    (r"features\[1\] must be pooled to the size of features\[0\], \(4, 3\); got \(7, 3\)",
     dict(kernels=[4, 4, 1, 2, 1, 1, 1, 1])),
    (r"features\[1\] must be pooled to the size of features\[0\], \(4, 3\); got \(4, 5\)",
     dict(kernels=[4, 4, 2, 1, 1, 1, 1, 1])),
    (r"kernels must be positive and of at most 256 cells each; got \(17, 16,.*", dict(kernels=[17, 16,
        *KERNELS[2:]])),
    (r"kernels must be positive .*; got \(1, 257,.*", dict(kernels=[1, 257, *KERNELS[2:]])),
    (r"kernels must be positive .*; got \(4, 0,.*", dict(kernels=[4, 0, *KERNELS[2:]])),
    (r"kernels must be positive .*; got \(-4, -4,.*", dict(kernels=[-4, -4, *KERNELS[2:]])),
    (r"kernels must be positive .*", dict(kernels=[2**62, 4, *KERNELS[2:]])),
    (r"kernels must be positive .*", dict(kernels=[2**63 - 1, 2**63 - 1, *KERNELS[2:]])),
)  # fmt: skip

POOL_AND_PACK = Tested(
    "pool_and_pack",
    SAMPLES,
    [refused(message, **changed) for message, changed in of_both],
    # The mean is known as well as the values.
    magnitudes=lambda arguments: [max(1.0, *map(largest, arguments["features"])), 1.0, 1.0],
    images=("features",),
    differentiable=("features",),
)

R = torch.ones(2, 13, 12)
of_backward = partial(refused, operator="pool_and_pack_backward")
POOL_AND_PACK_BACKWARD = Tested(
    "pool_and_pack_backward",
    BACKWARD_SAMPLES,
    [
        *(of_backward(message, **changed) for message, changed in of_both),
        of_backward(r"grad must have shape \(N, C, P\) = \(2, 13, 12\); got \(2, 13, 11\)", grad=R[..., 1:]),
        of_backward(r"packed must have shape .*; got \(2, 12, 12\)", packed=R[:, 1:]),
        of_backward(r"argmax must have shape .*; got \(1, 13, 12\)", argmax=R[:1].byte()),
        of_backward("argmax must have dtype Byte; got Int", argmax=R.int()),
        of_backward("grad must have dtype Float; got Double", grad=R.double()),
        of_backward("packed must have dtype Float; got Half", packed=R.half()),
        of_backward(r"inverse_deviation must have shape .*; got \(2, 12\)", inverse_deviation=R[:, 1:, 0]),
        of_backward(r"inverse_deviation must have shape .*; got \(3,\)", inverse_deviation=R[0, 0, :3]),
        of_backward(
            "inverse_deviation must have dtype Float; got Double", inverse_deviation=R[..., 0].double()
        ),
        *(
            of_backward(rf"{name} must be on the device of features\[0\]", **{name: value.to("meta")})
            for name, value in dict(grad=R, packed=R, argmax=R.byte(), inverse_deviation=R[..., 0]).items()
        ),
    ],
    images=("grad", "packed", "argmax", "inverse_deviation", "features"),
)
