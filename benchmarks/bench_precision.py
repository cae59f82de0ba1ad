"""By how much bfloat16 changes a count: published weights on photographs, each counted in both precisions.

python benchmarks/bench_precision.py ../shared/weights/csrnet_part_a_teacher.safetensors --data ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skt_crowd.data import read_image
from skt_crowd.inference import Predictor
from skt_crowd.weights import load_model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="a folder with JPEG images somewhere below")
    parser.add_argument("--images", type=int, default=25, help="evenly spread over all images by their paths")
    arguments = parser.parse_args()
    found = sorted(arguments.data.rglob("*.jpg"))
    paths = found[:: max(1, len(found) // (arguments.images - 1))]
    for weights in arguments.weights:
        model = load_model(weights)
        counts = [
            [Predictor(model, precision=p).whole(image).count for p in ("float32", "bfloat16")]
            for image in (read_image(path)[:768, :1024] for path in paths)
        ]
        exact, rounded = np.array(counts).T
        share = np.abs(rounded - exact) / np.maximum(exact, 1.0)
        print(
            f"{model.label} ({weights.name}), {len(paths)} images: counts differ by {np.median(share):.2%} (median), "
            f"{share.max():.2%} and {np.abs(rounded - exact).max():.2f} people (largest)"
        )


if __name__ == "__main__":
    main()
