"""What a counter costs: parameters, operations, memory, time; and the paper's own table beside it."""

from skt_crowd.efficiency.activations import peak_activation_bytes
from skt_crowd.efficiency.latency import measure_latency
from skt_crowd.efficiency.operations import count_macs, count_ptflops2020, parameters
from skt_crowd.efficiency.paper import reproduce_table

__all__ = [
    "count_macs",
    "count_ptflops2020",
    "measure_latency",
    "parameters",
    "peak_activation_bytes",
    "reproduce_table",
]
