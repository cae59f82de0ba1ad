"""Distil, train, evaluate and run crowd counting models: the application on top of ``skt_ext``."""
