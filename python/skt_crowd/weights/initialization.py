"""The first weights of the model that a recipe trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from skt_crowd.errors import UsageError
from skt_crowd.models import CrowdModel, build_model
from skt_crowd.models.rate import parse_rate
from skt_crowd.settings import Settings
from skt_crowd.weights.checkpoints import load_model
from skt_crowd.weights.imagenet import initialize_from_vgg
from skt_crowd.weights.inheritance import inherit_filters

Rate = Annotated[float, BeforeValidator(parse_rate)]
# Run folders of version 0.1 say vgg16.
Initialization = Annotated[
    Literal["kaiming", "imagenet", "checkpoint", "inherit"],
    BeforeValidator(lambda value: "imagenet" if value == "vgg16" else value),
]


class ModelSettings(Settings):
    """The model that is trained, and its first weights."""

    name: str = "csrnet"
    # Part of the width kept in every layer: "1/4" keeps a quarter of the channels, 1/16 of the parameters.
    channel_preservation_rate: Rate = 1.0
    # kaiming: random; imagenet: the front end from the VGG it is made of (rate 1 only); checkpoint: everything from
    # an earlier run; inherit: the strongest filters of a wider model, which a short run needs.
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
                "initialization: imagenet fits channel_preservation_rate 1 only: "
                "there are no ImageNet weights of a narrower VGG"
            )
        return self

    def build(self) -> CrowdModel:
        """The model with its first weights.

        Raises:
            UsageError: the weights are those of another model.
            SktError: the weights are missing or damaged.
        """
        if self.initial_weights is None:
            return build_model(self.name, self.channel_preservation_rate)
        if self.initialization == "checkpoint":
            model = load_model(Path(self.initial_weights))
            wanted = build_model(self.name, self.channel_preservation_rate).label
            if model.label != wanted:
                raise UsageError(
                    f"{self.initial_weights}: holds {model.label}, the recipe's model is {wanted}"
                )
            return model
        model = build_model(self.name, self.channel_preservation_rate)
        if self.initialization == "inherit":
            inherit_filters(model, load_model(Path(self.initial_weights)))
        else:
            initialize_from_vgg(model, self.initial_weights)
        return model
