"""All losses of one step on small features, for the tests on a device."""

import torch
from torch import Tensor

from skt_ext.losses import StructuredKnowledgeTransfer

STUDENT_CHANNELS, TEACHER_CHANNELS = (4, 8, 6), (16, 32, 24)
SIZES = ((40, 56), (20, 28), (10, 14))


class TransferStep:
    """Features of a student and a teacher on a device, and the losses of equation 8 between them."""

    def __init__(self, device: torch.device | str, *, profile: str = "released", seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def feature(channels: int, size: tuple[int, int]) -> Tensor:
            return torch.randn(2, channels, *size, generator=generator).to(device)

        torch.manual_seed(seed)
        self.transfer = StructuredKnowledgeTransfer(
            STUDENT_CHANNELS, TEACHER_CHANNELS, profile=profile, reduction="batchmean"
        ).to(device)
        self.student = [
            feature(channels, size).requires_grad_()
            for channels, size in zip(STUDENT_CHANNELS, SIZES, strict=True)
        ]
        self.teacher = [
            feature(channels, size) for channels, size in zip(TEACHER_CHANNELS, SIZES, strict=True)
        ]
        self.student_map = feature(1, SIZES[-1]).requires_grad_()
        self.teacher_map, self.target = feature(1, SIZES[-1]), feature(1, SIZES[-1])

    @property
    def leaves(self) -> list[Tensor]:
        return [*self.student, self.student_map, *self.transfer.parameters()]

    def loss(self) -> Tensor:
        total: Tensor = self.transfer(
            self.student, self.teacher, self.student_map, self.teacher_map, self.target
        ).total
        return total

    def loss_and_gradients(self) -> list[Tensor]:
        loss = self.loss()
        return [loss.detach(), *torch.autograd.grad(loss, self.leaves)]


def assert_close(ours: list[Tensor], expected: list[Tensor], relative: float = 1e-3) -> None:
    """Each tensor within a relative norm of what is expected, wherever the two live."""
    for index, (a, b) in enumerate(zip(ours, expected, strict=True)):
        error = (a.double().cpu() - b.double().cpu()).norm() / b.double().cpu().norm().clamp(min=1e-12)
        assert error <= relative, f"tensor {index}: relative difference {error:.1e}"
