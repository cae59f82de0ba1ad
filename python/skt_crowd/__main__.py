"""``python -m skt_crowd`` is ``skt``, for where the console script is not on the PATH."""

from skt_crowd.cli.app import main

main()
