"""The command ``skt``. Every command imports what it needs when it runs, so that ``skt --help`` is quick."""

from skt_crowd.cli.app import app, main

__all__ = ["app", "main"]
