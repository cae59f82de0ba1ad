"""The training loop: steps, records, evaluations and checkpoints, the same for every objective."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
from pydantic import Field
from rich.console import Console
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from skt_crowd.data import TrainingBatch, TrainingCrop
from skt_crowd.data.crops import step_batches
from skt_crowd.errors import SktError
from skt_crowd.evaluation import Evaluation
from skt_crowd.models import CrowdModel
from skt_crowd.settings import Settings
from skt_crowd.training.metrics_log import MetricsLog
from skt_crowd.training.optimizer import OptimizerSettings, set_learning_rate
from skt_crowd.training.progress import TrainingProgress
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.training.state import TrainingState
from skt_crowd.weights import save_model


class TrainingSettings(Settings):
    """The length of a run, its numerics, and when it writes what."""

    steps: int = Field(ge=1)
    batch_size: int = Field(default=4, ge=1)
    seed: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # auto: bfloat16 where the device computes it natively, else float32.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    # Processes that prepare crops (0: the training process itself).
    workers: int = Field(default=0, ge=0)
    # CPU threads of torch; null: torch's choice.
    threads: int | None = Field(default=None, ge=1)
    log_every: int = Field(default=10, ge=1)
    evaluate_every: int = Field(default=100, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    # Decay per step of the moving average of the weights, which is what is evaluated and saved; null: none.
    average_weights: float | None = Field(default=None, gt=0, lt=1)
    # Selection images used while training (the final evaluation uses all); null: all.
    evaluation_images: int | None = Field(default=None, ge=1)


class Objective(Protocol):
    """What is minimised: ``losses`` gives ``loss`` and its named parts, which are logged."""

    kind: str  # "train" or "distill"
    precision: str  # of the convolutions
    student: CrowdModel
    embeddings: nn.Module | None

    def modules(self) -> list[nn.Module]:
        """Everything that computes, to be moved to a device."""
        ...

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]: ...


class TrainingLoop:
    """One run: builds optimiser, average and state around an objective, and takes them from step to step.

    Args:
        objective: on ``device`` already; the optimiser owns its student and embeddings, nothing else.
        crops: item i is a crop, a pure function of i.
        evaluate: mean errors of a model on the selection images, or None where there are none.
        optimizer, settings: the sections of the recipe.
        folder: where everything is written.
    """

    def __init__(
        self,
        objective: Objective,
        crops: Dataset[TrainingCrop],
        evaluate: Callable[[CrowdModel], Evaluation] | None,
        optimizer: OptimizerSettings,
        settings: TrainingSettings,
        folder: RunFolder,
        device: torch.device,
    ) -> None:
        self.objective, self.crops, self.evaluate = objective, crops, evaluate
        self.optimizer_settings, self.settings = optimizer, settings
        self.folder, self.device = folder, device
        self.optimizer = optimizer.build(objective.student, objective.embeddings)
        self.average: AveragedModel | None = (
            average_of(objective.student, settings.average_weights) if settings.average_weights else None
        )
        self.state = TrainingState(objective.student, objective.embeddings, self.average, self.optimizer)

    def run(self, console: Console) -> None:
        """Train from the state's step to the last one.

        Raises:
            SktError: a loss is not finite, or the disk is full; the last good checkpoint stays.
        """
        settings, state = self.settings, self.state
        before, began = state.seconds, time.perf_counter()
        label = self.objective.student.label
        with (
            MetricsLog(self.folder.metrics, self.folder.events, after_step=state.step) as log,
            TrainingProgress(
                console, f"{self.objective.kind} {label}", done=state.step, steps=settings.steps
            ) as progress,
        ):
            self.objective.student.train()
            for batch in step_batches(
                self.crops, state.step, settings.steps, settings.batch_size, workers=settings.workers
            ):
                state.add(self._step(batch))
                state.step += 1
                progress.advance()
                last = state.step == settings.steps
                if last or state.step % settings.log_every == 0:
                    self._report(log, progress)
                if self.evaluate and (last or state.step % settings.evaluate_every == 0):
                    self._evaluate(log, progress)
                if last or state.step % settings.checkpoint_every == 0:
                    self._require_finite()
                    state.seconds = before + time.perf_counter() - began
                    state.save(self.folder.last)
        self._save(self.folder.final)

    def _step(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Do one update and return the losses before it."""
        optimizer = self.optimizer
        rate = self.optimizer_settings.rate_at(self.state.step, self.settings.steps)
        set_learning_rate(optimizer, rate)
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        optimizer.zero_grad(set_to_none=True)
        losses = self.objective.losses(batch.to(self.device, layout))
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        clip = self.optimizer_settings.gradient_clip
        if clip is not None:
            owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            losses["gradient_norm"] = nn.utils.clip_grad_norm_(owned, clip)
        optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.objective.student)
        return losses

    def _report(self, log: MetricsLog, progress: TrainingProgress) -> None:
        means = self._require_finite()
        rate = self.optimizer_settings.rate_at(self.state.step - 1, self.settings.steps)
        log.write("train", self.state.step, **means, learning_rate=rate)
        log.chart("speed/steps_per_second", progress.rate(), self.state.step)
        progress.losses(means)
        self.state.clear_sums()

    def _evaluate(self, log: MetricsLog, progress: TrainingProgress) -> None:
        assert self.evaluate is not None
        result = self.evaluate(weights_of(self.objective.student, self.average))
        self.objective.student.train()
        step = self.state.step
        log.write("evaluation", step, mae=result.mae, rmse=result.rmse, images=len(result.images))
        best = self.state.best is None or result.mae < self.state.best["mae"]
        progress.say(
            f"step {step}  MAE {result.mae:.2f}  RMSE {result.rmse:.2f}{'  best so far' if best else ''}"
        )
        if best:
            self.state.best = {"step": step, "mae": result.mae, "rmse": result.rmse}
            self._save(self.folder.best)

    def _save(self, path: Path) -> None:
        model = weights_of(self.objective.student, self.average)
        save_model(path, model, {"step": str(self.state.step), "recipe_kind": self.objective.kind})

    def _require_finite(self) -> dict[str, float]:
        """Mean losses since the last record; one that is not finite stops the run before it is saved."""
        means = self.state.means()
        if all(math.isfinite(value) for value in means.values()):
            return means
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        last = self.folder.last
        kept = f"{last} is the last good checkpoint" if last.is_file() else "there is no checkpoint yet"
        raise SktError(
            f"{self.folder.path}: the loss is not finite within {self.state.counted} steps "
            f"up to {self.state.step} ({shown}); {kept}; "
            "a lower optimizer.learning_rate or optimizer.gradient_clip helps"
        )


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A running average ``a <- d a + (1 - d) w`` with d = min(decay, (1 + n) / (10 + n)) at update n.

    The smaller d at the beginning keeps the random start of the weights out of the average.
    Call ``update_parameters(model)`` after each step; the averaged model is ``.module``.
    """

    def blend(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        n = int(updates)
        return averaged.lerp(current, 1.0 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, avg_fn=blend)  # buffers are copied, not averaged
    average.requires_grad_(False)
    return average


def weights_of(model: CrowdModel, average: AveragedModel | None) -> CrowdModel:
    """The model to evaluate and to save: the average where there is one."""
    if average is None:
        return model
    return cast(CrowdModel, average.module)
