"""What a recipe may say: every number of a run, its range and its default.

A recipe is a YAML file with the sections below. Unknown keys, values out of range and sections that do not
belong together are refused. ``skt_crowd.recipes.load_recipe`` reads one and turns each refusal into one
line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from skt_crowd.errors import UsageError
from skt_crowd.models.rate import parse_rate


def _rate(value: Any) -> float:
    """``"1/4"`` -> 0.25, as the models read it."""
    try:
        return parse_rate(value)
    except UsageError as error:
        raise ValueError(str(error).removeprefix("channel_preservation_rate: ")) from error


Rate = Annotated[float, BeforeValidator(_rate)]
Weight = Annotated[float, Field(ge=0)]
# Run folders of version 0.1 say vgg16.
Initialization = Annotated[
    Literal["kaiming", "imagenet", "checkpoint", "inherit"],
    BeforeValidator(lambda value: "imagenet" if value == "vgg16" else value),
]


class Section(BaseModel):
    """A part of a recipe: frozen, without unknown keys, without NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """The counter that is trained."""

    name: str = "csrnet"
    # Part of the width kept in every layer: "1/4" keeps a quarter of the channels, 1/16 of the parameters.
    channel_preservation_rate: Rate = 1.0
    # kaiming: random; imagenet: the front end from the VGG it is made of (rate 1 only); checkpoint: all from a
    # former run;
    # inherit: the strongest filters of a wider counter, which a short run needs.
    initialization: Initialization = "kaiming"
    # imagenet: a file or the word "torchvision"; checkpoint and inherit: a file.
    initial_weights: str | None = None

    @model_validator(mode="after")
    def _weights_match(self) -> ModelSettings:
        if self.initialization == "kaiming" and self.initial_weights is not None:
            raise ValueError(
                f"initial_weights ({self.initial_weights}) is not used by initialization: kaiming; "
                "set initialization to imagenet, checkpoint or inherit, or leave initial_weights out"
            )
        if self.initialization != "kaiming" and self.initial_weights is None:
            raise ValueError(f"initialization: {self.initialization} needs initial_weights, a file")
        if self.initialization == "imagenet" and self.channel_preservation_rate != 1.0:
            raise ValueError(
                "initialization: imagenet fits channel_preservation_rate 1 only: nobody trained a thin VGG"
            )
        return self


class TeacherSettings(Section):
    """The trained counter whose knowledge is transferred."""

    checkpoint: str


class TransferSettings(Section):
    """Weights of eq. 8: intra L_Intra + inter L_Inter + map (hard |M_s - M|^2 + soft |M_s - M_t|^2)."""

    profile: Literal["paper", "released"] = "paper"
    intra: Weight = 0.5
    inter: Weight = 0.5
    map: Weight = 1.0
    hard: Weight = 1.0
    soft: Weight = 1.0


class BayesianSettings(Section):
    """The Bayesian loss, and who counts as being in a crop for it."""

    # Width of a point's likelihood, pixels.
    sigma: float = Field(default=8.0, gt=0)
    # Distance of the background as a part of the image's shorter side; null: no background.
    background_ratio: float | None = Field(default=1.0, gt=0)
    # A head is a square of box_scale times the mean distance to its three neighbours, within these pixels.
    box_scale: float = Field(default=1.0, gt=0)
    smallest_box: float = Field(default=4.0, gt=0)
    largest_box: float = Field(default=128.0, gt=0)
    # Heads with less of their square inside the crop are left out; the others count with what is inside
    # (share) or whole (one).
    least_share: float = Field(default=0.3, gt=0, le=1)
    counts_as: Literal["share", "one"] = "share"


class LossSettings(Section):
    """The loss against the annotation, how losses are added up, and the count of squares beside it."""

    # map: squared error of the map; bayesian: people given to each point (BL); dms_ssim: similarity at five scales
    # (DSSINet); mse_lpc: mean squared error and local pattern consistency (SANet).
    kind: Literal["map", "bayesian", "dms_ssim", "mse_lpc"] = "map"
    bayesian: BayesianSettings = BayesianSettings()
    # mse_lpc only
    local_pattern_weight: Weight = 0.001
    # Every loss is a sum over pixels. Over the images of a batch it is a sum (the paper) or a mean, with which
    # the batch size does not change the size of a step.
    reduction: Literal["sum", "batchmean"] = "batchmean"
    # Weight of the absolute error of the number of people in squares, which steadies the counts; 0: not used.
    cell_count_weight: Weight = 0.0
    cell_pixels: int = Field(default=64, ge=1)


class SigmaSettings(Section):
    """Width in pixels of the Gaussian that stands for one person."""

    # adaptive: beta times the mean distance to the neighbours, within [minimum, maximum]; fixed: value;
    # perspective: metres, by the data set's perspective map.
    kind: Literal["adaptive", "fixed", "perspective"] = "adaptive"
    beta: float = Field(default=0.3, gt=0)
    neighbors: int = Field(default=3, ge=1)
    fallback: float = Field(default=15.0, gt=0)
    minimum: float = Field(default=0.5, gt=0)
    maximum: float | None = Field(default=None, gt=0)
    value: float = Field(default=15.0, gt=0)
    metres: float = Field(default=0.2, gt=0)


class DataSettings(Section):
    """Images with points, their split into training and selection, and how crops are made."""

    kind: Literal["shanghaitech", "ucf_cc_50", "ucf_qnrf", "mall", "beijing_brt", "folder", "synthetic"]
    # The folder of the data set; synthetic crowds have none.
    root: str | None = None
    split: str = "train"
    # Part of the split that chooses the best checkpoint and is not trained on; 0: everything is trained on.
    held_out_fraction: float = Field(default=0.1, ge=0, lt=1)
    held_out_seed: int = Field(default=0, ge=0)
    # Another split that chooses the best checkpoint. A test split flatters the result; the report says so.
    selection_split: str | None = None
    crop: int = Field(default=320, ge=8)
    flip_probability: float = Field(default=0.5, ge=0, le=1)
    boundary: Literal["conserve", "clip"] = "conserve"
    sigma: SigmaSettings = SigmaSettings()
    # Options of the kind: {part: A} for shanghaitech, {length: 64, height: 128, ...} for synthetic.
    options: dict[str, bool | int | float | str] = {}

    @model_validator(mode="after")
    def _one_selection(self) -> DataSettings:
        if self.selection_split is not None and self.held_out_fraction > 0:
            raise ValueError(
                "give held_out_fraction or selection_split, not both: set held_out_fraction to 0"
            )
        return self


class OptimizerSettings(Section):
    """The optimiser and the course of its learning rate."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    # sgd only
    momentum: float = Field(default=0.0, ge=0, lt=1)
    # Factor for the parameters under a module path, the longest path wins; 0 freezes them. {frontend: 0.4}
    learning_rate_scales: dict[str, Weight] = {}
    # cosine: down to zero at the last step; warmup_steps rise linearly before either.
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    # Largest norm of the whole gradient; null: not clipped.
    gradient_clip: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _momentum_is_for_sgd(self) -> OptimizerSettings:
        if self.momentum and self.name != "sgd":
            raise ValueError(f"momentum is for name: sgd only, came name: {self.name}")
        return self


class TrainingSettings(Section):
    """The length of a run, its numerics, and what it writes when."""

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
    # Decay a step of the moving average of the weights, which is what is evaluated and saved; null: none.
    average_weights: float | None = Field(default=None, gt=0, lt=1)
    # Selection images used while training (the final evaluation uses all); null: all.
    evaluation_images: int | None = Field(default=None, ge=1)


class Recipe(Section):
    """Everything that decides a run.

    ``kind: train`` trains against the annotation alone; ``kind: distill`` also transfers from a teacher.

    >>> recipe = Recipe.model_validate(
    ...     {"kind": "train", "data": {"kind": "synthetic"}, "training": {"steps": 10}}
    ... )
    >>> recipe.optimizer.learning_rate
    0.0001
    """

    kind: Literal["train", "distill"]
    model: ModelSettings = ModelSettings()
    teacher: TeacherSettings | None = None
    transfer: TransferSettings | None = None
    loss: LossSettings = LossSettings()
    data: DataSettings
    optimizer: OptimizerSettings = OptimizerSettings()
    training: TrainingSettings

    @model_validator(mode="after")
    def _teacher_fits_kind(self) -> Recipe:
        if self.kind == "train" and (self.teacher is not None or self.transfer is not None):
            raise ValueError("teacher and transfer belong to kind: distill, came kind: train")
        if self.kind == "distill" and self.transfer is None:
            raise ValueError("kind: distill needs a section transfer with the weights of its terms")
        if self.kind == "distill" and self.teacher is None:
            raise ValueError("kind: distill needs teacher.checkpoint, a file (or --teacher FILE)")
        return self
