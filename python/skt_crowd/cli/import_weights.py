"""``skt import``: weights that others published, as a file of this project."""

from pathlib import Path
from typing import Annotated

import typer

from skt_crowd.cli.options import optional


def import_weights(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="A published checkpoint: .pth, .pth.tar, .h5 or .safetensors.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, optional("--output", "-o", help="The .safetensors file to write.")],
) -> None:
    """Convert a published checkpoint to a safetensors file that names its model.

    Example:  `skt import mcnn_shtechA_660.h5 --output mcnn_part_a.safetensors`

    Knows the weights of CSRNet, SKT's teachers and students, BL, CAN, DSSINet and MCNN by their names and shapes.
    Pickled code in a checkpoint is never run. Every command also reads such files directly.
    """
    from skt_crowd.errors import UsageError
    from skt_crowd.weights import load_model, save_model

    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name")
    model = load_model(weights)
    save_model(output, model, {"imported from": weights.name})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{output}: {model.label}, {parameters:,} parameters")
