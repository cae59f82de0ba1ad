"""Crowds to train and judge on: readers, synthetic crowds, targets and training crops."""

from skt_crowd.data.augmentation import flip_horizontally, points_inside, random_box
from skt_crowd.data.beijing_brt import BeijingBrt
from skt_crowd.data.crops import TrainingBatch, TrainingCrop, TrainingCrops
from skt_crowd.data.factory import DATASET_KINDS, open_dataset
from skt_crowd.data.folder import ImageFolder
from skt_crowd.data.holdout import hold_out
from skt_crowd.data.images import IMAGENET_MEAN, IMAGENET_STD, normalize_image, read_image, read_region
from skt_crowd.data.mall import Mall
from skt_crowd.data.prepare import PreparedImage, PreparedMaps, prepare_density_maps, read_prepared_map
from skt_crowd.data.presence import PresenceRule
from skt_crowd.data.samples import CrowdDataset, CrowdSample
from skt_crowd.data.shanghaitech import ShanghaiTech
from skt_crowd.data.synthetic import SyntheticCrowds, render_crowd
from skt_crowd.data.targets import Box, SigmaRule, make_density, make_target
from skt_crowd.data.ucf_cc_50 import UcfCc50
from skt_crowd.data.ucf_qnrf import UcfQnrf

__all__ = [
    "DATASET_KINDS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BeijingBrt",
    "Box",
    "CrowdDataset",
    "CrowdSample",
    "ImageFolder",
    "Mall",
    "PreparedImage",
    "PreparedMaps",
    "PresenceRule",
    "ShanghaiTech",
    "SigmaRule",
    "SyntheticCrowds",
    "TrainingBatch",
    "TrainingCrop",
    "TrainingCrops",
    "UcfCc50",
    "UcfQnrf",
    "flip_horizontally",
    "hold_out",
    "make_density",
    "make_target",
    "normalize_image",
    "open_dataset",
    "points_inside",
    "prepare_density_maps",
    "random_box",
    "read_image",
    "read_prepared_map",
    "read_region",
    "render_crowd",
]
