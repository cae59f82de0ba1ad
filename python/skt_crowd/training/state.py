"""The state of a training run between two steps: what a continuation needs, bit for bit."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from skt_crowd.errors import SktError, one_line
from skt_crowd.files import write_bytes

# What torch and dictionaries raise where a file is damaged or holds something else.
_DAMAGED = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError)


class TrainingState:
    """Student, embeddings, average and optimiser, with the step they have reached.

    Nothing else decides the steps to come: crops are a pure function of the step, and the learning rate too.

    Attributes:
        step: steps done.
        best: ``{"step", "mae", "rmse"}`` of the best evaluation so far, or None.
        sums, counted: sums of the losses since the last log record, kept on the device, and over how many
            steps.
        seconds: time spent in the loop up to the last save, over all continuations.
    """

    def __init__(
        self,
        student: nn.Module,
        embeddings: nn.Module | None,
        average: AveragedModel | None,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        parts = {"student": student, "embeddings": embeddings, "average": average, "optimizer": optimizer}
        self._parts: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
        self.step = 0
        self.best: dict[str, float] | None = None
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.seconds = 0.0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of one step to the sums, without waiting for the device."""
        for name, value in losses.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counted += 1

    def means(self) -> dict[str, float]:
        """Mean losses since the last ``clear_sums``."""
        return {name: float(total) / self.counted for name, total in self.sums.items()}

    def clear_sums(self) -> None:
        self.sums, self.counted = {}, 0

    def save(self, path: Path) -> None:
        """Write the state; a crash or a full disk leaves the file that was there."""
        payload = {name: part.state_dict() for name, part in self._parts.items()}
        payload["progress"] = {
            "step": self.step,
            "best": self.best,
            "sums": self.sums,
            "counted": self.counted,
            "seconds": self.seconds,
        }
        # Serialised in memory first: torch's writer hides what the file system says, and a full disk should
        # be named.
        buffer = io.BytesIO()
        torch.save(payload, buffer)
        write_bytes(path, buffer.getbuffer())

    def load(self, path: Path, device: torch.device) -> None:
        """Take over a saved state.

        Raises:
            SktError: the file is missing, damaged, or of another run.
        """
        try:
            payload = torch.load(path, map_location=device, weights_only=True)
            if set(payload) != {*self._parts, "progress"}:
                raise KeyError(f"expected {', '.join(sorted({*self._parts, 'progress'}))}")
            for name, part in self._parts.items():
                part.load_state_dict(payload[name])
            for name, value in payload["progress"].items():
                setattr(self, name, value)
        except FileNotFoundError as error:
            raise SktError(
                f"{path}: no checkpoint to continue from; start the run anew in another folder"
            ) from error
        except _DAMAGED as error:
            message = f"{path}: not a complete training state of this recipe: {one_line(error)}"
            raise SktError(message) from error
