"""The reference in every dtype; and the oracle itself: its backward operators against plain autograd, values by hand."""

import math

import pytest
import torch

from skt_ext.ops import OPERATORS
from tests.conformance.backends import Reference
from tests.conformance.oracle import exact
from tests.conformance.sample import Sample
from tests.conformance.samples import TESTED
from tests.conformance.suite import Conformance
from tests.conformance.tensors import DOUBLE


class TestReference(Conformance):
    backend = Reference()
