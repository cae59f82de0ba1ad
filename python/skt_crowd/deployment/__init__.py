"""Use a crowd counter: count photographs, draw what was seen, hand the numbers on."""

from skt_crowd.deployment.counting import CountResult, count_image
from skt_crowd.deployment.overlay import draw_overlay, save_overlay
from skt_crowd.deployment.results import counts_as_json, write_counts

__all__ = ["CountResult", "count_image", "counts_as_json", "draw_overlay", "save_overlay", "write_counts"]
