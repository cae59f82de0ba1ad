"""Annotated images to train and evaluate on: readers, synthetic crowds, targets and training crops."""

from skt_crowd.data.crops import TrainingBatch, TrainingCrop, TrainingCrops
from skt_crowd.data.factory import DATASET_KINDS, open_dataset
from skt_crowd.data.images import IMAGENET_MEAN, IMAGENET_STD, normalize_image, read_image, read_region
from skt_crowd.data.readers import BeijingBrt, ImageFolder, Mall, ShanghaiTech, UcfCc50, UcfQnrf
from skt_crowd.data.samples import CrowdDataset, CrowdSample
from skt_crowd.data.selection import hold_out
from skt_crowd.data.synthetic import SyntheticCrowds, render_crowd
from skt_crowd.data.targets import SigmaRule, make_density, make_target
from skt_crowd.data.visibility import VisibilityRule

__all__ = [
    "DATASET_KINDS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BeijingBrt",
    "CrowdDataset",
    "CrowdSample",
    "ImageFolder",
    "Mall",
    "ShanghaiTech",
    "SigmaRule",
    "SyntheticCrowds",
    "TrainingBatch",
    "TrainingCrop",
    "TrainingCrops",
    "UcfCc50",
    "UcfQnrf",
    "VisibilityRule",
    "hold_out",
    "make_density",
    "make_target",
    "normalize_image",
    "open_dataset",
    "read_image",
    "read_region",
    "render_crowd",
]
