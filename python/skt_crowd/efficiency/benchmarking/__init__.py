"""Benchmarks of the losses of skt_ext: what is timed, against what, and how it is written."""
