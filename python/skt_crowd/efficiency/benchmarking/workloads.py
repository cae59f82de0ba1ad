"""What is timed: the losses, on features of the shapes that CSRNet and 1/4-CSRNet have for an image of a given size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skt_ext import losses, reference
from skt_ext.losses import StructuredKnowledgeTransfer, TransferLoss

# The released profile's taps: (stride, channels of the teacher, channels of the student at a quarter).
LEVELS = ((1, 64, 16), (2, 64, 16), (4, 128, 32), (8, 256, 64), (8, 512, 128), (8, 256, 64))
MAP_STRIDE = 8
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

LARGEST_IN_FLOAT64 = 100_000_000  # elements of the student's tensors

Loss = Callable[[Sequence[Tensor]], Tensor]
Convert = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """The size, dtype, layout and device that a workload runs with."""

    height: int
    width: int
    dtype: str = "float32"
    layout: str = "contiguous"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def feature(self, channels: int, stride: int) -> Tensor:
        shape = (1, channels, -(-self.height // stride), -(-self.width // stride))
        return torch.randn(shape, device=self.device).to(
            dtype=DTYPES[self.dtype], memory_format=LAYOUTS[self.layout]
        )


@dataclass(frozen=True)
class Workload:
    """One loss of some student tensors, as skt_ext computes it and as eager torch does.

    ``truth`` is eager torch in float64, or in float32 where that would need too much memory.

    ``least_bytes`` is the memory traffic nothing can avoid (every input read once, the gradients written once),
    ``multiply_adds`` the work of forward and backward; zero where the figure has no meaning for the operator.
    """

    name: str
    student: tuple[Tensor, ...]
    ours: Loss
    eager: Loss
    truth: Loss
    least_bytes: int = 0
    multiply_adds: int = 0


def cosine(setting: Setting) -> Workload:
    """Six levels of Intra-Layer Pattern Transfer, already embedded."""
    teacher = [setting.feature(channels, stride) for stride, channels, _ in LEVELS]
    student = tuple(setting.feature(channels, stride).requires_grad_() for stride, channels, _ in LEVELS)

    def eager(features: Sequence[Tensor], convert: Convert = _as_it_is) -> Tensor:
        return _total(
            reference.cosine_transfer_loss(convert(s), convert(t))
            for s, t in zip(features, teacher, strict=True)
        )

    return Workload(
        "cosine distance",
        student,
        lambda features: _total(map(losses.cosine_transfer_loss, features, teacher)),
        eager,
        _truth(eager, student),
        least_bytes=3 * _bytes(student),
    )


def dense_fsp(setting: Setting) -> Workload:
    """Inter-Layer Relation Transfer: pooling, instance norm and products of seven features."""
    shapes = [(channels, stride) for stride, channels, _ in LEVELS] + [(1, MAP_STRIDE)]
    teacher = [setting.feature(*shape) for shape in shapes]
    student = tuple(setting.feature(*shape).requires_grad_() for shape in shapes)
    size = (student[-1].shape[2], student[-1].shape[3])
    channels = [channels for channels, _ in shapes]
    pairs = sum(a * b for i, a in enumerate(channels) for b in channels[i + 1 :])

    def eager(features: Sequence[Tensor], convert: Convert = _as_it_is) -> Tensor:
        return reference.dense_fsp_loss(
            list(map(convert, features)), list(map(convert, teacher)), size=size, normalize="instance"
        )

    # Forward: the teacher's and the student's product of each pair; backward: two products of the student's.
    return Workload(
        "dense FSP distance",
        student,
        lambda features: losses.dense_fsp_loss(features, teacher, size=size, normalize="instance"),
        eager,
        _truth(eager, student),
        multiply_adds=4 * pairs * size[0] * size[1],
    )


def transfer(setting: Setting) -> Workload:
    """All losses of equation 8, released profile, with the embeddings: what a training step adds to its student."""
    module = StructuredKnowledgeTransfer(
        [narrow for *_, narrow in LEVELS], [wide for _, wide, _ in LEVELS], profile="released"
    ).to(setting.device)
    teacher = [setting.feature(wide, stride) for stride, wide, _ in LEVELS]
    student = tuple(setting.feature(narrow, stride).requires_grad_() for stride, _, narrow in LEVELS)
    student_map = setting.feature(1, MAP_STRIDE).requires_grad_()
    teacher_map, target = setting.feature(1, MAP_STRIDE), setting.feature(1, MAP_STRIDE)

    def ours(features: Sequence[Tensor]) -> Tensor:
        *taps, predicted = features
        # Half precision features come from autocast, while the embeddings' weights stay float32.
        half = setting.dtype != "float32"
        with torch.autocast(setting.device.type, dtype=DTYPES[setting.dtype] if half else None, enabled=half):
            loss: TransferLoss = module(taps, teacher, predicted, teacher_map, target)
        return loss.total

    def eager(features: Sequence[Tensor], convert: Convert = _as_it_is) -> Tensor:
        *taps, predicted = map(convert, features)
        targets = list(map(convert, teacher))
        intra_weight, inter_weight, map_weight = module.weights
        embedded = [_embed(layer, tap) for layer, tap in zip(module.embeddings, taps, strict=True)]
        intra = _total(map(reference.cosine_transfer_loss, embedded, targets))
        inter = reference.dense_fsp_loss(
            [*embedded, predicted],
            [*targets, convert(teacher_map)],
            size=(predicted.shape[2], predicted.shape[3]),
            normalize="instance",
        )
        hard, soft = (predicted - convert(to) for to in (target, teacher_map))
        maps = hard.square().sum() + soft.square().sum()
        return intra_weight * intra + inter_weight * inter + map_weight * maps

    every = (*student, student_map)
    return Workload("all losses, fused embedding", every, ours, eager, _truth(eager, every))


def pooling(setting: Setting) -> Workload:
    """Max-pool-resize of all features to the map's size, packed for the FSP distance."""
    student = tuple(setting.feature(channels, stride).requires_grad_() for stride, channels, _ in LEVELS)
    windows = [MAP_STRIDE // stride for stride, _, _ in LEVELS]
    kernels = [size for window in windows for size in (window, window)]

    def ours(features: Sequence[Tensor]) -> Tensor:
        packed: Tensor = torch.ops.skt_ext.pool_and_pack(list(features), kernels, False, True)[0]
        return packed.sum()

    def eager(features: Sequence[Tensor], convert: Convert = _as_it_is) -> Tensor:
        return torch.cat(
            [
                torch.nn.functional.max_pool2d(convert(feature), window, ceil_mode=True).flatten(2).float()
                for feature, window in zip(features, windows, strict=True)
            ],
            dim=1,
        ).sum()

    return Workload(
        "max-pool-resize", student, ours, eager, _truth(eager, student), least_bytes=2 * _bytes(student)
    )


WORKLOADS: dict[str, Callable[[Setting], Workload]] = {
    "cosine": cosine,
    "pool": pooling,
    "fsp": dense_fsp,
    "losses": transfer,
}


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _truth(eager: Callable[[Sequence[Tensor], Convert], Tensor], student: Sequence[Tensor]) -> Loss:
    large = sum(tensor.numel() for tensor in student) > LARGEST_IN_FLOAT64
    dtype = torch.float32 if large else torch.float64
    return lambda features: eager(features, lambda tensor: tensor.to(dtype))


def _embed(layer: torch.nn.Module, tap: Tensor) -> Tensor:
    assert isinstance(layer, torch.nn.Conv2d)
    assert layer.bias is not None
    weight, bias = layer.weight.to(tap.dtype), layer.bias.to(tap.dtype)
    return torch.relu(torch.nn.functional.conv2d(tap, weight, bias))


def _total(terms: object) -> Tensor:
    return torch.stack(list(terms)).sum()  # type: ignore[call-overload]


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
