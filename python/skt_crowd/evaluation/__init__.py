"""Evaluate models: counts against points, errors and their intervals."""

from skt_crowd.evaluation.evaluator import Evaluation, ImageResult, evaluate
from skt_crowd.evaluation.intervals import Interval, bootstrap_intervals
from skt_crowd.evaluation.map_quality import grid_average_errors, peak_signal_to_noise, structural_similarity
from skt_crowd.evaluation.metrics import (
    mean_absolute_error,
    normalized_absolute_error,
    root_mean_squared_error,
)
from skt_crowd.evaluation.results import write_csv, write_json

__all__ = [
    "Evaluation",
    "ImageResult",
    "Interval",
    "bootstrap_intervals",
    "evaluate",
    "grid_average_errors",
    "mean_absolute_error",
    "normalized_absolute_error",
    "peak_signal_to_noise",
    "root_mean_squared_error",
    "structural_similarity",
    "write_csv",
    "write_json",
]
