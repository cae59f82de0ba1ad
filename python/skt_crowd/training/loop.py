"""The training loop: steps, records, evaluations and checkpoints, the same for every kind of recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from skt_crowd.data.crops import TrainingBatch, TrainingCrop
from skt_crowd.errors import SktError
from skt_crowd.evaluation import Evaluation
from skt_crowd.models import CrowdCounter, save_model
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.training.averaging import average_of, weights_of
from skt_crowd.training.batches import step_batches
from skt_crowd.training.metrics import MetricsLog
from skt_crowd.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from skt_crowd.training.progress import TrainingProgress
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.training.state import TrainingState


class Objective(Protocol):
    """What is minimised: ``losses`` gives ``loss`` and the named parts that are worth a curve."""

    student: CrowdCounter
    embeddings: nn.Module | None

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]: ...


class TrainingLoop:
    """One run: builds optimiser, average and state around an objective, and takes them from step to step.

    Args:
        objective: on ``device`` already; the optimiser owns its student and embeddings, nothing else.
        crops: item i is a crop, a pure function of i.
        evaluate: mean errors of a model on the selection images, or None where there are none.
        folder: where everything is written.
    """

    def __init__(
        self,
        objective: Objective,
        crops: Dataset[TrainingCrop],
        evaluate: Callable[[CrowdCounter], Evaluation] | None,
        recipe: Recipe,
        folder: RunFolder,
        device: torch.device,
    ) -> None:
        self.objective, self.crops, self.evaluate = objective, crops, evaluate
        self.recipe, self.folder, self.device = recipe, folder, device
        settings = recipe.training
        self.optimizer = build_optimizer(recipe.optimizer, objective.student, objective.embeddings)
        self.average: AveragedModel | None = (
            average_of(objective.student, settings.average_weights) if settings.average_weights else None
        )
        self.state = TrainingState(objective.student, objective.embeddings, self.average, self.optimizer)

    def run(self, console: Console) -> None:
        """From the state's step to the recipe's last.

        Raises:
            SktError: a loss is not finite, or the disk is full; the last good checkpoint stays.
        """
        settings, state = self.recipe.training, self.state
        before, began = state.seconds, time.perf_counter()
        label = self.objective.student.label
        with (
            MetricsLog(self.folder.metrics, self.folder.events, after_step=state.step) as log,
            TrainingProgress(
                console, f"{self.recipe.kind} {label}", done=state.step, steps=settings.steps
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
        """One update; the losses before it."""
        optimizer = self.optimizer
        rate = learning_rate(self.recipe.optimizer, self.state.step, self.recipe.training.steps)
        set_learning_rate(optimizer, rate)
        layout = torch.channels_last if self.recipe.training.channels_last else torch.contiguous_format
        optimizer.zero_grad(set_to_none=True)
        losses = self.objective.losses(batch.to(self.device, layout))
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        clip = self.recipe.optimizer.gradient_clip
        if clip is not None:
            owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            losses["gradient_norm"] = nn.utils.clip_grad_norm_(owned, clip)
        optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.objective.student)
        return losses

    def _report(self, log: MetricsLog, progress: TrainingProgress) -> None:
        means = self._require_finite()
        rate = learning_rate(self.recipe.optimizer, self.state.step - 1, self.recipe.training.steps)
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
        save_model(path, model, {"step": str(self.state.step), "recipe_kind": self.recipe.kind})

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
