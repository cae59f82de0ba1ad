"""The map of a very large crowd against the time to fill it with zeros.

2032x2912 and 12,865 people are the size of UCF-QNRF's largest image. The image itself is not at hand, so the people
are synthetic: half anywhere, half denser towards the top.

python benchmarks/bench_density_large.py
"""

from __future__ import annotations

import torch
from crowd_images import synthetic_crowd
from harness import report, time_alternately

from skt_ext.density import density_map, geometry_adaptive_sigma

SHAPE = (2032, 2912)
PEOPLE = 12_865


def main() -> None:
    points = synthetic_crowd(PEOPLE, SHAPE)
    sigma = geometry_adaptive_sigma(points)
    density = density_map(points, SHAPE, sigma)
    total = float(density.double().sum())
    # A sample against the reference, which takes its time.
    some = slice(None, None, 25)
    expected = density_map(points[some], SHAPE, sigma[some], backend="reference")
    error = float((density_map(points[some], SHAPE, sigma[some]) - expected).abs().max())
    print(
        f"sum {total:.3f} of {PEOPLE}; largest difference from the reference, every 25th person: {error:.1e}"
    )
    if error > 1e-6 or abs(total - PEOPLE) > 1e-4 * PEOPLE:
        raise SystemExit("not the right map: not timed")

    area = int(((2 * (4 * sigma + 0.5).floor() + 1) ** 2).sum())
    ready = torch.empty(SHAPE)
    timings = time_alternately(
        {
            "fill a map with zeros": ready.zero_,
            "allocate a map and fill it with zeros": lambda: torch.empty(SHAPE).zero_(),
            "skt_ext density_map, conserve": lambda: density_map(points, SHAPE, sigma),
            "skt_ext density_map, clip": lambda: density_map(points, SHAPE, sigma, boundary="clip"),
            "skt_ext density_map, stride 8": lambda: density_map(points, SHAPE, sigma, stride=8),
            "skt_ext widths (neighbours by scipy)": lambda: geometry_adaptive_sigma(points),
            "skt_ext widths and map, conserve": lambda: density_map(
                points, SHAPE, geometry_adaptive_sigma(points)
            ),
        },
        rounds=31,
        warmup=3,
    )
    report(
        "density_large",
        timings,
        baseline="fill a map with zeros",
        notes=f"{SHAPE[0]}x{SHAPE[1]}, {PEOPLE} synthetic people, "
        f"sigma median {sigma.median():.2f} max {sigma.max():.1f}, "
        f"{area / 1e6:.1f} M pixels in windows, max error {error:.1e}",
    )


if __name__ == "__main__":
    main()
