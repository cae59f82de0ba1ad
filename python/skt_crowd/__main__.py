"""``python -m skt_crowd`` is ``skt``, for where the console script is not on the PATH."""

from skt_crowd.cli import main

main()
