"""The tests that every backend passes; a subclass names the backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.conformance.backends import Backend
from tests.conformance.oracle import assert_close, assert_conforms, same_bits
from tests.conformance.sample import Arguments, Refusal, Sample
from tests.conformance.samples import TESTED


class Conformance:
    backend: Backend

    def test_values(self, sample: Sample) -> None:
        """The reference in float64, what the fake promises, and the same bits however the backend runs."""
        arguments, first = sample.make(), None
        for _ in self.backend.ways(sample):
            outputs = self.backend(sample.operator, sample.make() if TESTED[sample.operator].mutated else arguments)
            if first is None:
                first = outputs
                assert_conforms(sample, outputs, self.backend.rounds)
            else:
                assert same_bits(first, outputs), "the bits depend on the order of execution"

    def test_bad_input_is_refused(self, refusal: Refusal) -> None:
        arguments = TESTED[refusal.operator].samples[0].make() | refusal.changed
        with pytest.raises(RuntimeError, match=refusal.message):
            self.backend(refusal.operator, arguments)
