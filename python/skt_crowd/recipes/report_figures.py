"""The figures of a run's report, drawn from its folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from skt_crowd.data import CrowdDataset, CrowdSample, make_target, normalize_image
from skt_crowd.data.selection import DataSettings
from skt_crowd.errors import SktError
from skt_crowd.inference import predict
from skt_crowd.inference.predictor import evaluation_mode
from skt_crowd.models import CrowdModel, FeatureTaps
from skt_crowd.plots import (
    Comparison,
    save_comparison,
    save_count_scatter,
    save_feature_means,
    save_loss_curves,
)
from skt_crowd.recipes.recipe import Recipe
from skt_crowd.training.metrics_log import read_metrics
from skt_crowd.training.run_folder import RunFolder
from skt_crowd.weights import load_model

NOT_LOSSES = ("kind", "step", "learning_rate", "gradient_norm")
LEVELS = 3  # features that are shown
# The paper's names for those of CSRNet; features of other models are named by their module paths.
PAPER_NAMES = {"frontend.11": "conv3_1", "frontend.18": "conv4_1", "backend.1": "conv5_1"}


@dataclass(frozen=True)
class ReportFigure:
    """One figure of a report: its file in ``plots/`` and the words around it."""

    title: str
    file: str
    caption: str


def draw_figures(folder: RunFolder, recipe: Recipe) -> tuple[list[ReportFigure], list[str]]:
    """Draw every figure that the run has the data for; for each of the others, say why it is missing."""
    figures = [_draw_losses(folder)]
    missing: list[str] = []
    if not folder.predictions.is_file():
        return figures, ["no images were held out, so there are no counts to compare"]
    figures.append(_draw_counts(folder))
    try:
        samples = _example_samples(folder, recipe)
        models = _models(folder, recipe)
        figures.append(_draw_maps(folder, recipe, samples, models))
        if "teacher" in models:
            figures.append(_draw_features(folder, samples[len(samples) // 2], models))
    except SktError as error:
        missing.append(f"maps and features, because {error}")
    return figures, missing


def hard_map(sample: CrowdSample, data: DataSettings, stride: int) -> np.ndarray:
    """The target (h, w) in people per cell that training would use for the whole image."""
    shape = sample.image.shape[0], sample.image.shape[1]
    sigma = data.sigma.sigmas(sample.points, sample.perspective)
    target = make_target(sample.points, sigma, shape, stride=stride, boundary=data.boundary, roi=sample.roi)
    return target.numpy()


def shown_levels(model: CrowdModel) -> tuple[str, ...]:
    """Paths of the features that are drawn: the third to the fifth, or the last where there are fewer."""
    paths = model.tap_paths("paper")
    first = min(2, len(paths) - LEVELS)
    return paths[first : first + LEVELS]


def features_at_levels(model: CrowdModel, image: np.ndarray) -> list[np.ndarray]:
    """The features (C, h, w) of ``shown_levels`` for one image (H, W, 3)."""
    paths = shown_levels(model)
    with evaluation_mode(model), torch.no_grad(), FeatureTaps(model, paths) as taps:
        model(normalize_image(image).unsqueeze(0))
    return [feature[0].float().numpy() for feature in taps.features]


def draw_loss_curves(metrics: Path, figure: Path) -> None:
    """Every loss of a metrics file by step."""
    records = read_metrics(metrics, "train")
    names = [name for name in records[0] if name not in NOT_LOSSES]
    steps = [record["step"] for record in records]
    save_loss_curves(figure, {name: (steps, [record[name] for record in records]) for name in names})


def _draw_losses(folder: RunFolder) -> ReportFigure:
    draw_loss_curves(folder.metrics, folder.plots / "losses.png")
    return ReportFigure(
        "Losses", "losses.png", "`loss` is what is minimised; its terms are drawn before their weights."
    )


def _draw_counts(folder: RunFolder) -> ReportFigure:
    rows = _predictions(folder)
    save_count_scatter(
        folder.plots / "counts.png",
        [float(row["predicted"]) for row in rows],
        [float(row["actual"]) for row in rows],
        "selection images",
    )
    return ReportFigure("Counts", "counts.png", "Predicted against annotated people, one dot per image.")


def _draw_maps(
    folder: RunFolder, recipe: Recipe, samples: list[CrowdSample], models: dict[str, CrowdModel]
) -> ReportFigure:
    rows = []
    for sample in samples:
        maps = {"hard, from points": hard_map(sample, recipe.data, models["student"].output_stride)}
        if "teacher" in models:
            maps["soft, of the teacher"] = predict(models["teacher"], sample.image)
        maps["predicted"] = predict(models["student"], sample.image)
        rows.append(Comparison(sample.name, sample.image, len(sample.points), maps))
    save_comparison(folder.plots / "maps.png", rows)
    return ReportFigure(
        "Density maps",
        "maps.png",
        "The title of each map gives its sum, the predicted number of people (Fig. 2 of the paper).",
    )


def _draw_features(folder: RunFolder, sample: CrowdSample, models: dict[str, CrowdModel]) -> ReportFigure:
    ordered = {name: features_at_levels(models[name], sample.image) for name in ("teacher", "student")}
    student = models["student"]
    names = [
        PAPER_NAMES.get(path, path) if student.name == "csrnet" else path for path in shown_levels(student)
    ]
    save_feature_means(folder.plots / "features.png", sample.image, names, ordered)
    return ReportFigure(
        "Features",
        "features.png",
        "Mean over the channels at three levels (Fig. 3 of the paper); r: correlation with the teacher's.",
    )


def _models(folder: RunFolder, recipe: Recipe) -> dict[str, CrowdModel]:
    models = {"student": load_model(folder.model())}
    if recipe.teacher is not None:
        models["teacher"] = load_model(Path(recipe.teacher.checkpoint))
    return models


def _example_samples(folder: RunFolder, recipe: Recipe) -> list[CrowdSample]:
    """Three selection images: the fewest people, the median, the most."""
    rows = sorted(_predictions(folder), key=lambda row: int(row["actual"]))
    places = sorted({0, len(rows) // 2, len(rows) - 1})
    dataset = _selection_dataset(recipe)
    return [dataset[dataset.names.index(rows[place]["name"])] for place in places]


def _selection_dataset(recipe: Recipe) -> CrowdDataset:
    """The data set that holds the recipe's selection images."""
    return recipe.data.open(recipe.data.selection_split or recipe.data.split)


def _predictions(folder: RunFolder) -> list[dict[str, str]]:
    with folder.predictions.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
