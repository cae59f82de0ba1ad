"""Kernel microbenchmarks: workloads, timing side by side, and what is written of it."""

from skt_crowd.benchmarking.machine import describe_machine
from skt_crowd.benchmarking.memory import peak_memory_mib
from skt_crowd.benchmarking.timing import Stages, Timing, time_alternately, time_stages_alternately

__all__ = [
    "Stages",
    "Timing",
    "describe_machine",
    "peak_memory_mib",
    "time_alternately",
    "time_stages_alternately",
]
