"""Data sets on disk, one file for each layout."""

from skt_crowd.data.readers.beijing_brt import BeijingBrt
from skt_crowd.data.readers.folder import ImageFolder
from skt_crowd.data.readers.mall import Mall
from skt_crowd.data.readers.shanghaitech import ShanghaiTech
from skt_crowd.data.readers.ucf_cc_50 import UcfCc50
from skt_crowd.data.readers.ucf_qnrf import UcfQnrf

__all__ = ["BeijingBrt", "ImageFolder", "Mall", "ShanghaiTech", "UcfCc50", "UcfQnrf"]
