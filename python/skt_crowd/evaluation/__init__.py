"""Judge crowd counters: counts by a protocol against points, errors, and the pictures of a report."""

from skt_crowd.evaluation.cells import MapPart, Prediction
from skt_crowd.evaluation.evaluator import Evaluation, ImageResult, evaluate
from skt_crowd.evaluation.inference import Predictor, count_people, predict
from skt_crowd.evaluation.intervals import Interval, bootstrap_intervals
from skt_crowd.evaluation.map_quality import (
    grid_average_errors,
    peak_signal_to_noise,
    structural_similarity,
)
from skt_crowd.evaluation.metrics import (
    mean_absolute_error,
    normalized_absolute_error,
    root_mean_squared_error,
)
from skt_crowd.evaluation.protocols import PROTOCOLS, WHOLE, Protocol, find_protocol
from skt_crowd.evaluation.results import write_csv, write_json

__all__ = [
    "PROTOCOLS",
    "WHOLE",
    "Evaluation",
    "ImageResult",
    "Interval",
    "MapPart",
    "Prediction",
    "Predictor",
    "Protocol",
    "bootstrap_intervals",
    "count_people",
    "evaluate",
    "find_protocol",
    "grid_average_errors",
    "mean_absolute_error",
    "normalized_absolute_error",
    "peak_signal_to_noise",
    "predict",
    "root_mean_squared_error",
    "structural_similarity",
    "write_csv",
    "write_json",
]
