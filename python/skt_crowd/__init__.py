"""Distil, train, evaluate and run crowd counters: the application on top of ``skt_ext``."""
