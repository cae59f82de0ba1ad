"""From an image to a count: prediction, tiles, protocols, overlay."""

from skt_crowd.inference.counting import CountResult, count_image, counts_as_json, write_counts
from skt_crowd.inference.overlay import draw_overlay, save_overlay
from skt_crowd.inference.prediction import MapPart, Prediction
from skt_crowd.inference.predictor import Predictor, predict
from skt_crowd.inference.protocols import PROTOCOLS, WHOLE, Protocol, find_protocol

__all__ = [
    "PROTOCOLS",
    "WHOLE",
    "CountResult",
    "MapPart",
    "Prediction",
    "Predictor",
    "Protocol",
    "count_image",
    "counts_as_json",
    "draw_overlay",
    "find_protocol",
    "predict",
    "save_overlay",
    "write_counts",
]
