"""Judge crowd counters: counts against points, errors, and the pictures of a report."""

from skt_crowd.evaluation.evaluator import Evaluation, ImageResult, count_people, evaluate, predict
from skt_crowd.evaluation.metrics import (
    mean_absolute_error,
    normalized_absolute_error,
    root_mean_squared_error,
)
from skt_crowd.evaluation.results import write_csv, write_json

__all__ = [
    "Evaluation",
    "ImageResult",
    "count_people",
    "evaluate",
    "mean_absolute_error",
    "normalized_absolute_error",
    "predict",
    "root_mean_squared_error",
    "write_csv",
    "write_json",
]
