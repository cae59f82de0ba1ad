"""The native library on the CPU."""

import pytest
import torch

from tests.conformance.backends import Native
from tests.conformance.samples.density import geodesic
from tests.conformance.suite import Differentiable


class TestNative(Differentiable):
    backend = Native()

    def test_many_wide_windows_are_painted_in_groups(self):
        # 60 people whose windows cover a map of 300 x 300: 5.4 M pixels, more than one group of windows holds.
        def maps(people):
            arguments = geodesic(people=(60,), size=(300, 300), sigma=100.0, weight=0.0)
            points, sigma = arguments["points"][people], arguments["sigma"][people]
            changed = dict(points=points.clamp(0, 299), sigma=sigma, offsets=torch.tensor([0, len(points)]))
            return self.backend("geodesic_splat", arguments | changed)[0]

        together = maps(slice(0, 60))
        assert together.double().sum().item() == pytest.approx(60, rel=1e-5)
        torch.testing.assert_close(together, maps(slice(0, 30)) + maps(slice(30, 60)))
