"""What a model costs: parameters, operations, memory, time; and the figures of the paper beside ours."""

from skt_crowd.efficiency.memory import peak_activation_bytes, peak_memory_mib
from skt_crowd.efficiency.operations import count_macs, count_ptflops2020, parameters
from skt_crowd.efficiency.paper import reproduce_table
from skt_crowd.efficiency.timing import (
    Stages,
    Timing,
    measure_latency,
    time_alternately,
    time_stages_alternately,
)

__all__ = [
    "Stages",
    "Timing",
    "count_macs",
    "count_ptflops2020",
    "measure_latency",
    "parameters",
    "peak_activation_bytes",
    "peak_memory_mib",
    "reproduce_table",
    "time_alternately",
    "time_stages_alternately",
]
