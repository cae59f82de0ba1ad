"""density_splat, geodesic_splat and geodesic_neighbors."""

import itertools
from functools import partial

import torch
from torch import Tensor

from tests.conformance.sample import Arguments, Refusal, Sample, Tested, name_of
from tests.conformance.tensors import DOUBLE, LAYOUTS

NAN, INF = float("nan"), float("inf")


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def offsets_of(people) -> Tensor:
    return torch.tensor([0, *itertools.accumulate(people)])


def region(images: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Noise, but for a left half that is all inside: kernels cut, whole, and gone."""
    roi = uniform(images, height, width, seed=seed) > 0.3
    roi[..., : width // 2] = True
    return roi


def rooms(*pictures: str) -> Tensor:
    """Regions drawn as text, a dot for a pixel inside."""
    return torch.tensor(
        [[[pixel == "." for pixel in row] for row in picture.split()] for picture in pictures]
    )


def strided(x: Tensor | None) -> Tensor | None:
    """The same values, in another order of memory."""
    if x is None or x.ndim == 0:
        return x
    return x.repeat_interleave(2, 0)[::2] if x.ndim == 1 else x.mT.contiguous().mT


# density_splat


def splat(
    people=(12, 0, 17, 1), size=(19, 26), kernels=1, stride=1, truncate=4.0, conserve=True, subpixel=False,
        roi=False,
    points=None, sigma=None, in_another_order=False,
) -> Arguments:  # fmt: skip
    """People in and around the images, some on corners; sigma from a fraction of a pixel to the image."""
    height, width = size
    count = sum(people)
    extent = torch.tensor([width, height], dtype=DOUBLE)
    where = uniform(count, kernels, 2, seed=1) * (extent + 4) - 2
    where[: count // 4] = where[: count // 4].floor()
    spread = 10 ** (uniform(count, kernels, 2, seed=2) * 3 - 1.5)
    if points is not None:
        where = torch.tensor(points, dtype=DOUBLE).view(count, kernels, 2)
    if sigma is not None:
        spread = torch.full((count, kernels, 2), sigma, dtype=DOUBLE)
    arguments = dict(
        points=where, sigma=spread, offsets=offsets_of(people), height=height, width=width, stride=stride,
        truncate=truncate, conserve=conserve, subpixel=subpixel, roi=region(len(people),
            *size) if roi else None,
    )  # fmt: skip
    tensors = ("points", "sigma", "offsets", "roi")
    return arguments | {name: strided(arguments[name]) for name in tensors} if in_another_order else arguments


def sample(*tags: str, **options) -> Sample:
    return Sample("density_splat", name_of(options), partial(splat, **options), frozenset(tags))


SAMPLES = [
    sample("opcheck"),
    sample("opcheck", conserve=False, subpixel=True, roi=True, stride=2),
    *(
        sample(people=(3, 0, 2, 1), kernels=kernels, stride=stride, subpixel=subpixel, conserve=conserve,
            roi=roi)
        for kernels, stride in ((1, 1), (2, 8))
        for subpixel, conserve, roi in itertools.product((False, True), repeat=3)
    ),
    *(
        sample(people=(people,), size=size, roi=roi, conserve=conserve, stride=3)
        for people, size in itertools.product((1, 40), [(1, 1), (1, 13), (17, 1), (31, 23), (64, 48)])
        for roi, conserve in itertools.product((False, True), repeat=2)
    ),
    sample(people=()),
    sample(people=(0, 0)),
    *(sample(truncate=truncate, conserve=conserve) for truncate in (0.0, 1.0, 2.5) for conserve in (False,
        True)),
    sample(kernels=3, subpixel=True),
    *(sample(people=(1,), points=((2.0, 1.0),), sigma=300.0, size=(4, 5), conserve=c) for c in (False, True)),
    *(
        sample(people=(2,), points=((2.0, 3.0), (4.25, 1.0)), sigma=sigma, size=(5, 6), subpixel=subpixel,
            conserve=c)
        for sigma in (1e-3, 1e-6, 1e-30)  # between two pixels, and narrower than a float can tell
        for subpixel, c in itertools.product((False, True), repeat=2)
    ),
    sample(
        people=(6,), sigma=2.0, size=(9, 11), conserve=False,
        points=((-0.1, 3.0), (3.0, -1e-9), (11.0, 3.0), (3.0, 9.0), (1e300, -1e300), (6.999, 4.0)),
    ),
    *(sample(in_another_order=True, roi=roi) for roi in (False, True)),
    *(
        sample("native", people=(150, 50), size=(264, 248), kernels=2, conserve=conserve, subpixel=conserve,
            stride=stride)
        for conserve, stride in itertools.product((False, True), (1, 8))
    ),
]  # fmt: skip


def refused(operator: str, message: str, **changed) -> Refusal:
    return Refusal(operator, f"^skt_ext::{operator}: {message}", changed)


ONES = torch.ones(30, 1, 2, dtype=DOUBLE)


def but(tensor: Tensor, value: float, *where: int) -> Tensor:
    changed = tensor.clone()
    changed[where] = value
    return changed


of_all_maps = (
    ("points must have dtype Double; got Float", lambda shape: dict(points=torch.ones(shape))),
    (
        "offsets must have dtype Long; got Int",
        lambda _: dict(offsets=torch.tensor([0, 12, 12, 29, 30]).int()),
    ),
    (
        r"offsets must start at 0 and end at P = 30; got \(0, 29\)",
        lambda _: dict(offsets=torch.tensor([0, 29])),
    ),
    (
        r"offsets must start at 0 and end at P = 30; got \(1, 30\)",
        lambda _: dict(offsets=torch.tensor([1, 30])),
    ),
    (
        r"offsets must not decrease; got \(0, 30, 29, 30\)",
        lambda _: dict(offsets=torch.tensor([0, 30, 29, 30])),
    ),
    (r"offsets must have shape \(B \+ 1,\); got \(0,\)", lambda _: dict(offsets=torch.tensor([]).long())),
    ("offsets must be on the device of points", lambda _: dict(offsets=torch.tensor([0, 30], device="meta"))),
    (r"the image's \(height, width\) must be positive .*; got \(0, 26\)", lambda _: dict(height=0)),
    (r"the image's \(height, width\) must be positive .*", lambda _: dict(height=2**62, width=2**62)),
    (r"the image's \(height, width\) must be positive .*", lambda _: dict(height=-(2**62))),
    ("stride must be positive; got 0", lambda _: dict(stride=0)),
    ("truncate must be finite and not negative; got -1", lambda _: dict(truncate=-1.0)),
    ("truncate must be finite and not negative; got nan", lambda _: dict(truncate=NAN)),
    ("sigma must have dtype Double; got Half", lambda shape: dict(sigma=torch.ones(shape).half())),
    (
        r"roi must have shape \(B, height, width\) = \(4, 19, 26\); got \(4, 19, 25\)",
        lambda _: dict(roi=region(4, 19, 25)),
    ),
    ("roi must have dtype Bool; got Byte", lambda _: dict(roi=region(4, 19, 26).byte())),
    ("roi must be on the device of points", lambda _: dict(roi=region(4, 19, 26).to("meta"))),
)

DENSITY_SPLAT = Tested(
    "density_splat",
    SAMPLES,
    [
        *(refused("density_splat", message, **change((30, 1, 2))) for message, change in of_all_maps),
        refused("density_splat", r"points must have the axes \(P, K, 2\), .*; got shape \(30, 2\)",
            points=ONES[:, 0]),
        refused("density_splat", r"points must have shape \(P, K, 2\) = \(30, 1, 2\); got \(30, 1, 1\)",
            points=ONES[..., :1]),
        refused("density_splat", "points must have at least one kernel .*", points=ONES[:, :0],
            sigma=ONES[:, :0]),
        refused("density_splat", r"sigma must have shape \(P, K, 2\) = \(30, 1, 2\); got \(29, 1, 2\)",
            sigma=ONES[1:]),
        refused("density_splat", "sigma must be on the device of points", sigma=ONES.to("meta")),
        *(
            refused("density_splat", f"sigma must be positive and finite; sigma 1 is {value:g}",
                sigma=but(ONES, value, 1, 0, 1))
            for value in (0.0, -1.0, NAN, INF)
        ),
        refused("density_splat",
            r"sigma \* truncate must be at most 1.04858e\+06 pixels; sigma 0 is 1e\+09", sigma=ONES * 1e9),
        refused("density_splat", r"points must be finite; point 1 is \(nan, 1\)", points=but(ONES, NAN, 1,
            0, 0)),
    ],
    tolerance=(1e-5, 2e-7),
    fixed=("points", "sigma"),
)  # fmt: skip


# geodesic_splat and geodesic_neighbors

WALL = rooms("\n".join("......#......" if row != 8 else "............." for row in range(11)))
# A corridor that turns round and round: a path needs several sweeps.
SPIRAL = rooms(
    "######### ......... ########. #......#. #.####.#. #.#..#.#. #.#.##.#. #.#....#. #.######. #........"
)
CORNERS = rooms(".# #.")  # two rooms that touch at a corner
NOISE = region(4, 19, 26, seed=5) & (uniform(4, 19, 26, seed=6) > 0.15)


def geodesic(
    people=(12, 0, 17, 1), points=None, sigma=None, stride=1, truncate=4.0, conserve=True, roi=None,
        size=(19, 26),
    channels=0, weight=0.5, gain=10.0, in_another_order=False,
) -> Arguments:  # fmt: skip
    height, width = size if roi is None else roi.shape[1:]
    count = sum(people)
    where = uniform(count, 2, seed=1) * (torch.tensor([width, height], dtype=DOUBLE) + 2) - 1
    arguments = dict(
        points=where if points is None else torch.tensor(points, dtype=DOUBLE),
        sigma=10 ** (uniform(count, seed=2) * 1.5 - 0.7) if sigma is None else torch.full((count,), sigma,
            dtype=DOUBLE),
        offsets=offsets_of(people), height=height, width=width, stride=stride, truncate=truncate,
            conserve=conserve,
        roi=roi, image=uniform(len(people), channels, height, width, seed=3).float() if channels else None,
        weight=weight, gain=gain,
    )  # fmt: skip
    if in_another_order:
        arguments |= {name: strided(arguments[name]) for name in ("points", "sigma", "offsets", "roi")}
        arguments["image"] = LAYOUTS["channels_last"](arguments["image"])
    return arguments


def path(*tags: str, **options) -> Sample:
    shown = {key: "given" if isinstance(value, Tensor) else value for key, value in options.items()}
    if "roi" in options:
        shown["roi"] = "x".join(map(str, options["roi"].shape)) + f"-{int(options['roi'].sum())}"
    return Sample("geodesic_splat", name_of(shown), partial(geodesic, **options), frozenset(tags))


GEODESIC_SAMPLES = [
    path("opcheck", roi=NOISE, channels=3, stride=2),
    path("opcheck", weight=0.0, conserve=False),
    *(
        path(
            people=(3, 0, 2, 1), roi=NOISE, channels=channels, stride=stride, conserve=conserve, weight=weight
        )
        for channels, stride, conserve, weight in itertools.product((0, 2), (1, 4), (False, True), (0.0, 0.7))
    ),
    *(
        path(people=(3, 1), channels=1, weight=weight, gain=gain)
        for weight, gain in ((0.2, 4.0), (0.9, 20.0), (0.5, 0.0))
    ),
    *(
        path(people=(1,), points=((4.5, 6.5),), sigma=2.0, roi=WALL, conserve=conserve, weight=weight)
        for conserve, weight in itertools.product((False, True), (0.0, 0.3))
    ),
    path(people=(1,), points=((0.5, 1.5),), sigma=20.0, roi=SPIRAL, weight=0.0),
    path(people=(1,), points=((0.5, 0.5),), sigma=1.0, roi=CORNERS, weight=0.0),
    path(people=(1,), points=((0.5, 0.5),), sigma=1.0, roi=CORNERS, weight=0.4, channels=1),
    path(people=(2,), points=((4.5, 6.5), (-1.0, 2.0)), sigma=1.0, roi=WALL, channels=2, truncate=2.5),
    path(people=(0, 0)),
    path(people=()),
    path(people=(1,), points=((0.5, 0.5),), size=(1, 1), sigma=2.0),
    path(roi=NOISE, channels=3, in_another_order=True),
    path("native", people=(60,), size=(50, 70), channels=3, weight=0.4, sigma=3.0),
]

FLAT = ONES[:, 0]
of_costs = (
    (
        r"image must have the axes \(B, C, height, width\); got shape \(19, 26\)",
        dict(image=torch.ones(19, 26)),
    ),
    (r"image must have shape .*; got \(., 3, 19, 25\)", dict(image=torch.ones(4, 3, 19, 25))),
    (r"weight must be in \[0, 1\); got 1", dict(weight=1.0)),
    (r"weight must be in \[0, 1\); got -0.1", dict(weight=-0.1)),
    (r"weight must be in \[0, 1\); got nan", dict(weight=NAN)),
    ("gain must be finite and not negative; got -1", dict(gain=-1.0)),
    ("gain must be finite and not negative; got inf", dict(gain=INF)),
)
GEODESIC_SPLAT = Tested(
    "geodesic_splat",
    GEODESIC_SAMPLES,
    [
        *(
            refused(
                "geodesic_splat", message,
                **{"roi": None, "image": None} | change((30,) if "sigma" in message else (30, 2)),
            )
            for message, change in of_all_maps
        ),
        *(refused("geodesic_splat", message, **changed) for message, changed in of_costs),
        refused("geodesic_splat", r"points must have the axes \(P, 2\), .*; got shape \(30,\)",
            points=FLAT[:, 0]),
        refused("geodesic_splat", r"points must have shape \(P, 2\) = \(30, 2\); got \(30, 1\)",
            points=FLAT[:, :1]),
        refused("geodesic_splat", r"points must be finite; point 0 is", points=FLAT * INF),
        refused("geodesic_splat", r"sigma must have shape \(P,\) = \(30,\); got \(29,\)", sigma=FLAT[1:, 0]),
        refused("geodesic_splat", "sigma must be positive and finite; sigma 0 is 0", sigma=FLAT[:, 0] * 0),
        refused("geodesic_splat", "image must have dtype Float; got Double", image=torch.ones(4, 3, 19, 26,
            dtype=DOUBLE)),
        refused("geodesic_splat", "image must be on the device of points", image=torch.ones(4, 3, 19, 26,
            device="meta")),
    ],
    tolerance=(1e-4, 2e-7),  # paths are summed in float32
    fixed=("points", "sigma", "image"),
)  # fmt: skip


def neighbors(
    people=12, neighbors=3, roi=None, size=(19, 26), channels=0, weight=0.5, gain=10.0
) -> Arguments:
    arguments = geodesic((people,), roi=roi, size=size, channels=channels, weight=weight, gain=gain)
    del (
        arguments["sigma"],
        arguments["offsets"],
        arguments["stride"],
        arguments["truncate"],
        arguments["conserve"],
    )
    return {"points": arguments.pop("points"), "neighbors": neighbors} | arguments


def near(*tags: str, **options) -> Sample:
    shown = {key: "given" if isinstance(value, Tensor) else value for key, value in options.items()}
    return Sample("geodesic_neighbors", name_of(shown), partial(neighbors, **options), frozenset(tags))


GEODESIC_NEIGHBORS = Tested(
    "geodesic_neighbors",
    [
        near("opcheck", roi=NOISE[:1], channels=2),
        *(near(people=people, channels=channels, weight=weight) for people in (0, 1, 2, 12) for channels,
            weight in ((0, 0.0), (1, 0.6))),
        near(roi=NOISE[:1], weight=0.0),
        near(roi=NOISE[1:2], weight=0.3, neighbors=20),
        near("native", people=60, size=(50, 70), channels=1),
    ],
    [
        refused("geodesic_neighbors", "neighbors must be positive; got 0", neighbors=0),
        Refusal("geodesic_neighbors", "new_empty", dict(neighbors=2**62)),  # more than memory has
        refused("geodesic_neighbors", r"the image's \(height, width\) must be positive .*; got \(19, 0\)",
            width=0),
        refused("geodesic_neighbors", r"the image's \(height, width\) must .*", height=2**62, width=2**62,
            roi=None, image=None),
        refused("geodesic_neighbors",
            r"roi must have shape \(1, height, width\) = \(1, 19, 26\); got \(2, 19, 26\)", roi=NOISE[:2]),
        refused("geodesic_neighbors", "roi must have dtype Bool; got Float", roi=NOISE[:1].float()),
        refused("geodesic_neighbors", "roi must be on the device of points", roi=NOISE[:1].to("meta")),
        refused("geodesic_neighbors", "points must have dtype Double; got Float", points=torch.ones(12, 2)),
        refused("geodesic_neighbors", r"points must have shape \(P, 2\) = \(12, 2\); got \(12, 3\)",
            points=torch.ones(12, 3, dtype=DOUBLE)),
        *(refused("geodesic_neighbors", message, **changed) for message, changed in of_costs),
    ],
    tolerance=(1e-5, 1e-5),
    fixed=("points", "image"),
)  # fmt: skip
