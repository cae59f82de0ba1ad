"""The native geodesic operators' own checks, behind those in Python."""

import math

import pytest
import torch


def test_messages_name_the_argument_and_what_came(ops):
    def refused(message, **changed):
        arguments = {
            "points": torch.ones(2, 2, dtype=torch.float64),
            "sigma": torch.ones(2, dtype=torch.float64),
            "offsets": torch.tensor([0, 2]),
            "height": 4,
            "width": 5,
            "stride": 1,
            "truncate": 4.0,
            "conserve": True,
            "roi": None,
            "image": None,
            "weight": 0.5,
            "gain": 1.0,
        } | changed
        with pytest.raises(RuntimeError, match=f"^skt_ext::geodesic_splat: {message}"):
            ops.geodesic_splat(**arguments)

    double = torch.float64
    refused(
        r"points must have the axes \(P, 2\), \[x, y\] each; got shape \(2,\)",
        points=torch.ones(2, dtype=double),
    )
    refused(
        r"points must have shape \(P, 2\) = \(2, 2\); got \(2, 3\)", points=torch.ones(2, 3, dtype=double)
    )
    refused("points must have dtype Double; got Float", points=torch.ones(2, 2))
    refused("points must be finite; point 0 is", points=torch.full((2, 2), math.inf, dtype=double))
    refused(r"sigma must have shape \(P,\) = \(2,\); got \(3,\)", sigma=torch.ones(3, dtype=double))
    refused("sigma must be positive and finite; sigma 0 is 0", sigma=torch.zeros(2, dtype=double))
    refused("offsets must have dtype Long; got Int", offsets=torch.tensor([0, 2], dtype=torch.int32))
    refused(r"offsets must start at 0 and end at P = 2; got \(1, 2\)", offsets=torch.tensor([1, 2]))
    refused(
        r"roi must have shape \(B, height, width\) = \(1, 4, 5\); got \(4, 5\)",
        roi=torch.ones(4, 5, dtype=torch.bool),
    )
    refused(r"image must have the axes \(B, C, height, width\); got shape \(4, 5\)", image=torch.ones(4, 5))
    refused(
        r"image must have shape \(B, C, height, width\) = \(1, 3, 4, 5\); got \(1, 3, 5, 5\)",
        image=torch.ones(1, 3, 5, 5),
    )
    refused("image must have dtype Float; got Double", image=torch.ones(1, 3, 4, 5, dtype=double))
    refused(r"weight must be in \[0, 1\); got 1", weight=1.0)
    refused(r"weight must be in \[0, 1\); got nan", weight=math.nan)
    refused("gain must be finite and not negative; got -1", gain=-1.0)


def test_messages_of_geodesic_neighbors(ops):
    points = torch.ones(2, 2, dtype=torch.float64)

    def refused(message, *arguments):
        with pytest.raises(RuntimeError, match=f"^skt_ext::geodesic_neighbors: {message}"):
            ops.geodesic_neighbors(*arguments)

    refused("neighbors must be positive; got 0", points, 0, 4, 5, None, None, 0.0, 1.0)
    refused(
        r"the image's \(height, width\) must be positive; got \(4, 0\)", points, 1, 4, 0, None, None, 0.0, 1.0
    )
    roi = torch.ones(2, 4, 5, dtype=torch.bool)
    refused(
        r"roi must have shape \(1, height, width\) = \(1, 4, 5\); got \(2, 4, 5\)",
        points,
        1,
        4,
        5,
        roi,
        None,
        0.0,
        1.0,
    )


def test_strided_arguments(ops):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(7, 2, generator=generator, dtype=torch.float64) * 12
    sigma = torch.full((7,), 2.0, dtype=torch.float64)
    image = torch.rand(1, 3, 12, 13, generator=generator)
    roi = torch.rand(1, 12, 13, generator=generator) > 0.2

    def maps(points, sigma, offsets, roi, image):
        return ops.geodesic_splat(points, sigma, offsets, 12, 13, 1, 4.0, True, roi, image, 0.5, 5.0)

    offsets = torch.tensor([0, 7])
    strided = maps(
        points.t().contiguous().t(),
        sigma.repeat_interleave(2)[::2],
        torch.tensor([0, 99, 7])[::2],
        roi.transpose(1, 2).contiguous().transpose(1, 2),
        image.contiguous(memory_format=torch.channels_last),
    )
    assert torch.equal(strided, maps(points, sigma, offsets, roi, image))


def test_many_wide_windows_are_painted_in_groups(ops):
    # 60 people whose windows cover a map of 300 x 300: 5.4 M pixels, more than one group of windows holds
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(60, 2, generator=generator, dtype=torch.float64) * 300
    sigma = torch.full((60,), 100.0, dtype=torch.float64)

    def maps(people):
        offsets = torch.tensor([0, len(people)])
        return ops.geodesic_splat(
            people, sigma[: len(people)], offsets, 300, 300, 1, 4.0, True, None, None, 0.0, 1.0
        )

    together = maps(points)
    assert together.double().sum().item() == pytest.approx(60, rel=1e-5)
    torch.testing.assert_close(together, maps(points[:30]) + maps(points[30:]))
