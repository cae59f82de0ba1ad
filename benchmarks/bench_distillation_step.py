"""One distillation step at 576x864, ours against the same step in eager torch as the released code writes it.

Both: CSRNet teacher forward, 1/4-CSRNet student forward and backward, embeddings, and all losses of the released
profile (six cosine levels, dense FSP of seven features with instance norm, hard and soft map), batch 1. The eager
step is float32, contiguous, and takes its losses from ``skt_ext.reference``. Ours is what ``skt distill`` runs:
channels_last, the operators of ``skt_ext``, and bfloat16 where the processor computes it natively.

    python benchmarks/bench_distillation_step.py
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch
from harness import Timing, report, time_alternately
from torch import Tensor, nn

from skt_crowd.device import has_native_bfloat16
from skt_crowd.models import FeatureTaps, build_model
from skt_ext import reference
from skt_ext.losses import StructuredKnowledgeTransfer

PROFILE = "released"
WEIGHTS = (0.5, 0.5, 1.0)


class Step:
    """A teacher, a student, its embeddings and an image: called, it leaves gradients and returns the loss."""

    def __init__(
        self, teacher: nn.Module, student: nn.Module, transfer: nn.Module, image: Tensor, target: Tensor
    ):
        self.teacher, self.student, self.transfer = teacher, student, transfer
        self.image, self.target = image, target

    def forward_features(self) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        with torch.no_grad(), FeatureTaps(self.teacher, self.teacher.tap_paths(PROFILE)) as teacher_taps:
            teacher_map = self.teacher(self.image)
        with FeatureTaps(self.student, self.student.tap_paths(PROFILE)) as student_taps:
            student_map = self.student(self.image)
        return student_taps.features, teacher_taps.features, student_map, teacher_map

    def losses(self) -> Tensor:
        return self.transfer(*self.forward_features(), self.target).total

    def __call__(self) -> Tensor:
        self.student.zero_grad(set_to_none=True)
        self.transfer.zero_grad(set_to_none=True)
        loss = self.losses()
        loss.backward()
        return loss.detach()


class EagerStep(Step):
    """The same mathematics, term by term, in plain float32 torch."""

    def losses(self) -> Tensor:
        student, teacher, student_map, teacher_map = self.forward_features()
        embedded = [torch.relu(e(s)) for e, s in zip(self.transfer.embeddings, student, strict=True)]
        intra = sum(reference.cosine_transfer_loss(h, t) for h, t in zip(embedded, teacher, strict=True))
        inter = reference.dense_fsp_loss(
            [*embedded, student_map],
            [*teacher, teacher_map],
            size=student_map.shape[-2:],
            normalize="instance",
        )
        maps = ((student_map - self.target) ** 2).sum() + ((student_map - teacher_map) ** 2).sum()
        return WEIGHTS[0] * intra + WEIGHTS[1] * inter + WEIGHTS[2] * maps


class OurStep(Step):
    """What ``skt distill`` runs."""

    def __init__(self, *parts: object, precision: torch.dtype = torch.float32) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]
        self.precision = precision

    def autocast(self) -> torch.autocast:
        half = self.precision != torch.float32
        return torch.autocast(self.image.device.type, dtype=self.precision if half else None, enabled=half)

    def losses(self) -> Tensor:
        with self.autocast():
            return super().losses()


def both_steps(height: int, width: int, batch: int, device: torch.device) -> tuple[EagerStep, OurStep]:
    """The two ways, in float32, with equal weights and the same images."""
    torch.manual_seed(0)
    teacher = build_model("csrnet", 1.0).eval().requires_grad_(False)
    student = build_model("csrnet", 0.25).train()
    transfer = StructuredKnowledgeTransfer(
        student.tap_channels(PROFILE), teacher.tap_channels(PROFILE), profile=PROFILE, weights=WEIGHTS
    )
    parts = [module.to(device) for module in (teacher, student, transfer)]
    image = torch.randn(batch, 3, height, width).to(device)
    with torch.no_grad():
        target = student(image).abs()
    eager = EagerStep(*copy.deepcopy(parts), image, target)
    fast = [module.to(memory_format=torch.channels_last) for module in parts]
    return eager, OurStep(*fast, image.to(memory_format=torch.channels_last), target)


def disagreement(eager: EagerStep, ours: OurStep) -> tuple[float, float]:
    """Relative differences of the loss and of the student's gradient."""
    loss = abs(float(ours()) / float(eager()) - 1)
    expected = gradients(eager)
    return loss, float((gradients(ours) - expected).norm() / expected.norm())


def gradients(step: Step) -> Tensor:
    step()
    return torch.cat([p.grad.flatten().double() for p in step.student.parameters()])


def profile_parts(step: OurStep, rounds: int) -> dict[str, Timing]:
    """Median seconds of the parts of our step, by stopping it early."""

    def timed(call: Callable[[], object]) -> Timing:
        call()
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return Timing(tuple(seconds), peak_mib=float("nan"))

    @torch.no_grad()
    def teacher_only() -> None:
        with step.autocast():
            step.teacher(step.image)

    def student_only() -> None:
        with step.autocast():
            output = step.student(step.image)
        output.float().square().sum().backward()

    return {
        "part: teacher forward": timed(teacher_only),
        "part: student forward and backward": timed(student_only),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(576, 864), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    height, width = arguments.size

    eager, float32 = both_steps(height, width, 1, torch.device("cpu"))
    loss_error, gradient_error = disagreement(eager, float32)
    print(f"float32, relative to eager: loss {loss_error:.1e}, student gradient {gradient_error:.1e}")
    if max(loss_error, gradient_error) > 1e-3:
        raise SystemExit("the two steps do not agree: not timed")

    candidates = {"eager, as released (float32)": eager, "skt_ext (float32)": float32}
    if has_native_bfloat16(torch.device("cpu")):
        parts = float32.teacher, float32.student, float32.transfer, float32.image, float32.target
        candidates["skt_ext (bfloat16)"] = OurStep(*parts, precision=torch.bfloat16)
    timings = time_alternately(candidates, rounds=arguments.rounds)
    timings |= profile_parts(list(candidates.values())[-1], arguments.rounds)
    report(
        "distillation_step",
        timings,
        baseline="eager, as released (float32)",
        notes=f"{height}x{width}, batch 1, released profile; agreement in float32: loss {loss_error:.1e}, "
        f"student gradient {gradient_error:.1e}; the last rows are parts of the last candidate",
    )


if __name__ == "__main__":
    main()
