"""Published models as functions of their published weights: names, shapes and arithmetic, written out once more.

Nothing here uses the models of the project, so that a wrong name, a wrong order or a wrong layer shows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Weights:
    """Numbers of a size that keeps signals alive: N(0, 2 / fan in) for filters, 0.1 +- 0.05 for the rest."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        fan_in = values[0].numel() if len(shape) == 4 else 0
        weights[name] = values * (2 / fan_in) ** 0.5 if fan_in else 0.1 + 0.05 * values.tanh()
    return weights


def convolution_shapes(layers: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    """Weight and bias of each {name: (channels in, channels out, kernel)}."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs, kernel) in layers.items():
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def chain(
    names: list[str], widths: list[int], channels: int = 3, kernel: int = 3
) -> dict[str, tuple[int, int, int]]:
    """Convolutions one behind the other."""
    return {
        name: (before, width, kernel)
        for name, before, width in zip(names, [channels, *widths], widths, strict=False)
    }


def conv(weights: Weights, name: str, x: Tensor, dilation: int = 1) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.conv2d(
        x, weight, weights.get(f"{name}.bias"), padding=dilation * (weight.shape[2] // 2), dilation=dilation
    )


def pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


# BL: the repository of Bayesian Loss

BL_WIDTHS = [64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512]
BL_PLACES = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
BL_POOLS_BEFORE = (5, 10, 19, 28)


def bl_shapes(divisor: int) -> dict[str, tuple[int, ...]]:
    widths = [width // divisor for width in BL_WIDTHS]
    layers = chain([f"features.{place}" for place in BL_PLACES], widths)
    head = {"reg_layer.0": (512, 256, 3), "reg_layer.2": (256, 128, 3)}
    layers |= {
        name: (inputs // divisor, outputs // divisor, 3) for name, (inputs, outputs, _) in head.items()
    }
    return convolution_shapes(layers | {"reg_layer.4": (128 // divisor, 1, 1)})


def bl(weights: Weights, x: Tensor) -> Tensor:
    for place in BL_PLACES:
        x = conv(weights, f"features.{place}", pool(x) if place in BL_POOLS_BEFORE else x).relu()
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    x = conv(weights, "reg_layer.0", x).relu()
    x = conv(weights, "reg_layer.2", x).relu()
    return conv(weights, "reg_layer.4", x).abs()


# SKT: 1/n-CSRNet of the released code, with the embeddings it has in training

SKT_BLOCKS = (2, 2, 3, 3, 6)


def skt_student_shapes(widths: tuple[int, int, int, int], *, embeddings: bool) -> dict[str, tuple[int, ...]]:
    a, b, c, d = widths
    names = [f"conv{block}_{layer}.0" for block, layers in enumerate(SKT_BLOCKS) for layer in range(layers)]
    layers = chain(names, [a, a, b, b, c, c, c, d, d, d, d, d, d, c, b, a])
    layers["conv5_0"] = (a, 1, 1)
    if embeddings:
        layers |= {"transform0_0.0": (a, 64, 1), "transform1_0.0": (a, 64, 1), "transform2_0.0": (b, 128, 1)}
        layers |= {
            "transform3_0.0": (c, 256, 1),
            "transform4_0.0": (d, 512, 1),
            "transform4_3.0": (c, 256, 1),
        }
    return convolution_shapes(layers)


def skt_student(weights: Weights, x: Tensor) -> Tensor:
    for block, layers in enumerate(SKT_BLOCKS):
        if 0 < block < 4:
            x = F.max_pool2d(x, 2, ceil_mode=True)
        for layer in range(layers):
            x = conv(weights, f"conv{block}_{layer}.0", x, dilation=2 if block == 4 else 1).relu()
    return conv(weights, "conv5_0", x)


# CAN: the repository of Context-Aware Crowd Counting

VGG16_WIDTHS = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512]
VGG16_PLACES = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21]
VGG16_POOLS_BEFORE = (5, 10, 17)


def can_shapes(divisor: int) -> dict[str, tuple[int, ...]]:
    deep = 512 // divisor
    layers = chain(
        [f"frontend.{place}" for place in VGG16_PLACES], [width // divisor for width in VGG16_WIDTHS]
    )
    widths = [width // divisor for width in (512, 512, 512, 256, 128, 64)]
    layers |= chain([f"backend.{3 * index}" for index in range(6)], widths, deep)
    layers |= {"context.bottleneck": (2 * deep, deep, 1), "context.weight_net": (deep, deep, 1)}
    shapes = convolution_shapes(layers | {"output_layer": (64 // divisor, 1, 1)})
    shapes |= {f"context.scales.{index}.1.weight": (deep, deep, 1, 1) for index in range(4)}
    for index, width in enumerate(widths):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"backend.{3 * index + 1}.{part}"] = (width,)
    return shapes


def can(weights: Weights, x: Tensor) -> Tensor:
    for place in VGG16_PLACES:
        x = conv(weights, f"frontend.{place}", pool(x) if place in VGG16_POOLS_BEFORE else x).relu()
    total = norm = torch.zeros(())
    for index, side in enumerate((1, 2, 3, 6)):
        scale = conv(weights, f"context.scales.{index}.1", F.adaptive_avg_pool2d(x, side))
        scale = F.interpolate(scale, x.shape[2:], mode="bilinear", align_corners=False)
        weight = conv(weights, "context.weight_net", x - scale).sigmoid()
        total, norm = total + weight * scale, norm + weight
    x = conv(weights, "context.bottleneck", torch.cat([total / norm, x], 1)).relu()
    for index in range(6):
        x = conv(weights, f"backend.{3 * index}", x, dilation=2)
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.batch_norm(x, *(weights[f"backend.{3 * index + 1}.{name}"] for name in names)).relu()
    return conv(weights, "output_layer", x)


# DSSINet: the class CRFVGG of its repository

DSSINET_MEMBERS = ((128, 64), (256, 128, 64), (512, 256, 128), (512, 256))


def dssinet_shapes(divisor: int) -> dict[str, tuple[int, ...]]:
    layers = chain(
        [f"front_end.features.{place}" for place in VGG16_PLACES],
        [width // divisor for width in VGG16_WIDTHS],
    )
    for level, members in enumerate(DSSINET_MEMBERS, start=1):
        for i, target in enumerate(members):
            for j, source in enumerate(members):
                if i != j:
                    layers[f"passing{level}.w_0_{j}_{i}_0.0.conv"] = (source // divisor, target // divisor, 1)
    for index, channels in enumerate((512, 768, 896, 448, 192), start=1):
        layers[f"decoder{index}.0.conv"] = (channels // divisor, 128 // divisor, 1)
        layers[f"decoder{index}.1.conv"] = (128 // divisor, 1, 3)
    layers |= {f"passing_weight{index}.conv": (1, 1, 3) for index in range(1, 5)}
    shapes = convolution_shapes(layers)
    slopes = [f"front_end.features.relu{place + 1}" for place in VGG16_PLACES]
    for name in (*slopes, *(f"passing{level}.prelu" for level in range(1, 5)), "prelu"):
        shapes[f"{name}.weight"] = (1,)
    return shapes


def dssinet(weights: Weights, x: Tensor) -> Tensor:
    def block(places: list[int], x: Tensor) -> Tensor:
        for place in places[:-1]:
            x = prelu(f"front_end.features.relu{place + 1}", conv(weights, f"front_end.features.{place}", x))
        return conv(weights, f"front_end.features.{places[-1]}", x)

    def prelu(name: str, x: Tensor) -> Tensor:
        return F.prelu(x, weights[f"{name}.weight"])

    def passing(level: int, features: list[Tensor]) -> list[Tensor]:
        for _ in range(2):
            refined = []
            for i, own in enumerate(features):
                others = [
                    conv(weights, f"passing{level}.w_0_{j}_{i}_0.0.conv", other)
                    for j, other in enumerate(features)
                    if j != i
                ]
                refined.append((own + prelu(f"passing{level}.prelu", sum(others, torch.zeros(())))).relu())
            features = refined
        return features

    def resized(x: Tensor, factor: float) -> Tensor:
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    def decoded(index: int, features: list[Tensor]) -> Tensor:
        hidden = conv(weights, f"decoder{index}.0.conv", torch.cat(features, 1)).relu()
        return conv(weights, f"decoder{index}.1.conv", hidden)

    one, two, three, four = [0, 2], [5, 7], [10, 12, 14], [17, 19, 21]
    big, small = resized(x, 2), resized(x, 0.5)
    big = block(two, pool(prelu("front_end.features.relu3", block(one, big))))
    first = passing(1, [big, block(one, x)])
    second = passing(2, [block(three, pool(first[0])), block(two, pool(first[1])), block(one, small)])
    third = passing(3, [block(step, pool(f)) for step, f in zip((four, three, two), second, strict=True)])
    fourth = passing(4, [block(four, pool(third[1])), block(three, pool(third[2]))])
    last = prelu("front_end.features.relu22", block(four, pool(fourth[1])))

    density = prelu("prelu", decoded(1, [last]))
    for index, features in ((2, fourth), (3, third), (4, second), (5, first)):
        density = decoded(index, features) + conv(
            weights, f"passing_weight{index - 1}.conv", resized(density, 2)
        )
        density = prelu("prelu", density) if index < 5 else density.relu()
    return density


# MCNN: the HDF5 files of the PyTorch re-implementation, whose input is gray from 0 to 255

MCNN_BRANCHES = {
    "branch1": ((16, 9), (32, 7), (16, 7), (8, 7)),
    "branch2": ((20, 7), (40, 5), (20, 5), (10, 5)),
    "branch3": ((24, 5), (48, 3), (24, 3), (12, 3)),
}


def mcnn_shapes() -> dict[str, tuple[int, ...]]:
    layers = {}
    for branch, plan in MCNN_BRANCHES.items():
        channels = 1
        for place, (width, kernel) in zip((0, 2, 4, 5), plan, strict=True):
            layers[f"DME.{branch}.{place}.conv"] = (channels, width, kernel)
            channels = width
    return convolution_shapes(layers | {"DME.fuse.0.conv": (30, 1, 1)})


def mcnn(weights: Weights, gray: Tensor) -> Tensor:
    columns = []
    for branch in MCNN_BRANCHES:
        x = pool(conv(weights, f"DME.{branch}.0.conv", gray).relu())
        x = pool(conv(weights, f"DME.{branch}.2.conv", x).relu())
        columns.append(
            conv(weights, f"DME.{branch}.5.conv", conv(weights, f"DME.{branch}.4.conv", x).relu()).relu()
        )
    return conv(weights, "DME.fuse.0.conv", torch.cat(columns, 1)).relu()
