"""How features are compared: by the sum of cosine distances, and by FSP matrices once they have one size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skt_ext._checks import as_count
from skt_ext._numerics import accumulation_dtype, full_precision, reduce

_LARGEST_WINDOW = 256  # pixels: operators keep the offset of a window's maximum in one byte


def cosine_loss(
    student: Tensor, teacher: Tensor, eps: float, expected_gradient: float = 1.0, *, per_pixel: bool = False
) -> Tensor:
    """Cosine distances of student and teacher, (N, C, H, W) each: their sum (), or (N, H, W) if `per_pixel`.

    `expected_gradient` is what backward is expected to bring: the gradient is made for it in the forward pass, and
    any other value costs a pass over it.
    """
    wants_gradient = torch.is_grad_enabled() and student.requires_grad
    # A traced graph must not depend on the batch's size; there the factor joins another pass.
    scale = 1.0 if torch.compiler.is_compiling() else expected_gradient
    loss, _ = torch.ops.skt_ext.cosine_loss(student, teacher, eps, scale, wants_gradient, per_pixel)
    return loss  # type: ignore[no-any-return]


# Features of several sizes


def target_size(size: int | tuple[int, int] | None, last: Tensor) -> tuple[int, int]:
    """(h, w) at which features are compared."""
    if size is None:
        return last.shape[2], last.shape[3]
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    try:
        return as_count("size", height), as_count("size", width)
    except TypeError:
        raise TypeError(f"size must be a whole number or a pair of them, got {size!r}") from None


def pooling_window(name: str, feature: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    """The window (kernel_h, kernel_w) that brings the feature (N, C, H, W) called `name` to `size`."""
    kernel_h, kernel_w = (pooling_kernel(feature.shape[2 + axis], size[axis]) for axis in (0, 1))
    for axis, window in enumerate((kernel_h, kernel_w)):
        if window == 0:
            raise ValueError(
                f"{name} has {'HW'[axis]} = {feature.shape[2 + axis]}, which no max pooling brings "
                f"to {'HW'[axis]} = {size[axis]}"
            )
    return kernel_h, kernel_w


def pooling_windows(student_features: Sequence[Tensor], size: tuple[int, int]) -> list[tuple[int, int]]:
    return [
        pooling_window(f"student_features[{index}]", feature, size)
        for index, feature in enumerate(student_features)
    ]


def pooling_kernel(size: int, target: int) -> int:
    """The window k (also the stride) with ceil(size / k) == target along one axis; 0 where there is none.

    Several windows can give the same size. Networks halve, so a power of two is taken where one fits, which
    makes one max pooling equal to the repeated 2x2 pooling of the deeper layers; otherwise the smallest
    window is taken.
    """
    smallest = -(-size // target)
    power_of_two = 1
    while power_of_two < smallest:
        power_of_two *= 2
    for kernel in (power_of_two, smallest):
        if -(-size // kernel) == target:
            return kernel
    return 0


def is_fusable(window: tuple[int, int]) -> bool:
    """Whether an operator can pool with this window on the way to something else."""
    return window[0] * window[1] <= _LARGEST_WINDOW


def pack(
    features: Sequence[Tensor], windows: Sequence[tuple[int, int]], normalize: str | None, dtype: torch.dtype
) -> Tensor:
    """Features pooled, instance-normalised if asked for, and packed along the channels: (N, sum of C_i, h w).

    `dtype`, of computation and result, is float64 or the one that the features ask for.
    """
    pooled: list[Tensor] = []
    kernels: list[int] = []
    for feature, window in zip(features, windows, strict=True):
        fusable = is_fusable(window)
        pooled.append(feature if fusable else F.max_pool2d(feature, window, ceil_mode=True))
        kernels += window if fusable else (1, 1)
    if accumulation_dtype(*pooled) != dtype:
        pooled[0] = pooled[0].to(dtype)  # one is enough for the operator to compute in it
    wants_gradient = torch.is_grad_enabled() and any(feature.requires_grad for feature in pooled)
    packed, _, _ = torch.ops.skt_ext.pool_and_pack(pooled, kernels, normalize == "instance", wants_gradient)
    return packed  # type: ignore[no-any-return]


def dense_fsp_distance(
    student_features: Sequence[Tensor],
    teacher_features: Sequence[Tensor],
    student_windows: Sequence[tuple[int, int]],
    teacher_windows: Sequence[tuple[int, int]],
    *,
    normalize: str | None,
    pairs: str,
    reduction: str,
    precision: str,
) -> Tensor:
    """Equation 6 once all arguments are known to be good."""
    channels = [feature.shape[1] for feature in student_features]
    dtype = accumulation_dtype(*student_features, *teacher_features)
    with full_precision(student_features[0].device):
        student = pack(student_features, student_windows, normalize, dtype)
        teacher = pack(teacher_features, teacher_windows, normalize, dtype)
        distance, _ = torch.ops.skt_ext.dense_fsp_distance(
            student, teacher, channels, pairs == "adjacent", precision
        )
        return reduce(distance, reduction)


def product_precision(*features: Tensor) -> str:
    """How the operands of the matrix products are rounded, after the features and torch's own switch.

    Half features lose nothing in half products, which are summed in float32. On the CPU, where torch's half
    products round their results too, and for float64, nothing is rounded.
    """
    if features[0].device.type != "cuda" or accumulation_dtype(*features) == torch.float64:
        return "float32"
    if all(feature.dtype == torch.bfloat16 for feature in features):
        return "bfloat16"
    if all(feature.dtype == torch.float16 for feature in features):
        return "float16"
    return "tf32" if _matmul_precision() == "tf32" else "float32"


def _matmul_precision() -> str:
    """What torch's switches, the old and the new ones, say of float32 products on CUDA: "none", "ieee" or "tf32"."""
    answer: str = torch.backends.cuda.matmul.fp32_precision
    return answer


# torch.compile cannot trace the question and shall ask it when it compiles. This is all that
# torch.compiler.assume_constant_result does, but that imports torch._dynamo: two seconds.
_matmul_precision._dynamo_marked_constant = True  # type: ignore[attr-defined]
