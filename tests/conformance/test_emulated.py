"""The CUDA operators whole, host code included, executed on the CPU: one result in every order of threads and blocks.

What they read and write of global memory is counted by the race checker's build.
"""

import pytest
import torch

from tests.conformance.backends import Emulated, RaceChecked
from tests.conformance.samples.cosine_loss import call, rescaling
from tests.conformance.suite import Conformance
from tests.conformance.tensors import BFLOAT


class TestEmulated(Conformance):
    backend = Emulated()


class TestRaces(Conformance):
    backend = RaceChecked()


class TestBytes:
    """No pass over a feature more than the least, and 16 bytes at a time."""

    backend = RaceChecked()

    def counts(self, operator, arguments):
        self.backend.module.set_order("forward", 0)
        self.backend.module.take_counts()
        self.backend(operator, arguments)
        return self.backend.module.take_counts()

    @pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
    @pytest.mark.parametrize("dtype", [torch.float32, BFLOAT], ids=str)
    def test_features_are_read_once_and_the_gradient_is_written_once(self, layout, dtype):
        arguments = call(shape=(2, 32, 8, 16), dtypes=(dtype, dtype), layouts=(layout, layout))
        counts = self.counts("cosine_loss", arguments)
        of_feature = 2 * 32 * 8 * 16 * dtype.itemsize
        assert counts["wide_loads"] == 2 * of_feature // 16
        assert counts["wide_stores"] == of_feature // 16
        # Besides, a partial sum for each block, and their sum.
        partial_sums = counts["stored_bytes"] - of_feature - 4
        assert counts["loaded_bytes"] == 2 * of_feature + partial_sums
        assert partial_sums <= of_feature // 32

    @pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
    def test_distances_alone_read_the_features_once_and_write_no_gradient(self, layout):
        arguments = call(shape=(2, 32, 8, 16), layouts=(layout, layout), with_gradient=False, per_pixel=True)
        counts = self.counts("cosine_loss", arguments)
        assert counts["loaded_bytes"] == 2 * 4 * 2 * 32 * 8 * 16
        assert counts["stored_bytes"] == 4 * 2 * 8 * 16

    def test_rescaling_by_one_touches_nothing(self):
        counts = self.counts("rescale_", rescaling(shape=(1, 3, 5, 67), grad=0.5, scale=0.5))
        assert counts["stored_bytes"] == 0
        assert counts["loaded_bytes"] % 256 == 0  # the factor, by every thread
