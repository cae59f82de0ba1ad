"""What only a CUDA device has: native kernels in use, streams, a second device, graphs, no hidden waiting."""

import pytest
import torch

import skt_ext
from skt_ext import losses, reference
from tests.conformance.backends import Cuda
from tests.conformance.suite import Conformance
from tests.conformance.transfer_step import TransferStep, assert_close
from tests.support.random_features import random_feature

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
PROFILES = pytest.mark.parametrize("profile", ["paper", "released"])


class TestCuda(Conformance):
    backend = Cuda()


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def test_the_kernels_of_the_library_are_in_use() -> None:
    info = skt_ext.build_info()
    if info["native"] is None or info["native"]["cuda"] is None:
        pytest.skip("the library was built without CUDA")
    losses_on_cuda = {
        name: used["cuda"]
        for name, used in info["operators"].items()
        if not name.startswith(("density", "geo"))
    }
    assert set(losses_on_cuda.values()) == {"native"}, losses_on_cuda


@PROFILES
def test_a_device_computes_what_the_cpu_computes(device: torch.device, profile: str) -> None:
    on_cpu = TransferStep("cpu", profile=profile).loss_and_gradients()
    assert_close(TransferStep(device, profile=profile).loss_and_gradients(), on_cpu)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_features_of_a_photograph(device: torch.device, dtype: torch.dtype, layout: str) -> None:
    shape = (1, 64, 288, 432)
    student, teacher = (
        random_feature(shape, seed=seed, dtype=dtype, layout=layout, device=str(device)) for seed in (0, 1)
    )
    student.requires_grad_()
    ours = losses.cosine_transfer_loss(student, teacher)
    (gradient,) = torch.autograd.grad(ours, student)
    exact = student.detach().double().requires_grad_()
    true = reference.cosine_transfer_loss(exact, teacher.double())
    (true_gradient,) = torch.autograd.grad(true, exact)
    assert_close([ours, gradient], [true, true_gradient], relative=1e-2 if dtype != torch.float32 else 1e-4)


def test_the_current_stream_is_used(device: torch.device) -> None:
    expected = TransferStep(device).loss_and_gradients()
    step = TransferStep(device)
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # what runs on another stream would finish long before this
        for leaf in step.leaves:
            leaf.data.mul_(1.0)
        ours = step.loss_and_gradients()
    stream.synchronize()
    assert_close(ours, expected, relative=0.0)


def test_a_second_device() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("torch sees one CUDA device only")
    expected = TransferStep("cuda:0").loss_and_gradients()
    with torch.cuda.device(0):  # the current device is not the tensors'
        assert_close(TransferStep("cuda:1").loss_and_gradients(), expected)


def test_twice_the_same_bits(device: torch.device) -> None:
    first, second = (TransferStep(device).loss_and_gradients() for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_nothing_waits_for_the_device(device: torch.device) -> None:
    step = TransferStep(device)
    step.loss_and_gradients()  # the first call may allocate
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.loss_and_gradients()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@PROFILES
def test_a_graph_replays_a_step(device: torch.device, profile: str) -> None:
    step = TransferStep(device, profile=profile)
    expected = step.loss_and_gradients()
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(2):
            step.loss_and_gradients()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step.loss_and_gradients()
    for tensor in captured:
        tensor.zero_()
    graph.replay()
    assert_close(captured, expected, relative=0.0)


@PROFILES
def test_compiled_with_graphs(device: torch.device, profile: str) -> None:
    step = TransferStep(device, profile=profile)
    expected = step.loss_and_gradients()
    compiled = torch.compile(step.loss, mode="reduce-overhead", fullgraph=True)
    for _ in range(3):  # the graphs are recorded on the second call
        torch.compiler.cudagraph_mark_step_begin()
        loss = compiled()
        ours = [loss.detach().clone(), *(grad.clone() for grad in torch.autograd.grad(loss, step.leaves))]
    assert_close(ours, expected)


def test_less_memory_than_eager(device: torch.device) -> None:
    student = random_feature((1, 64, 288, 432), dtype=torch.float32, device=str(device)).requires_grad_()
    teacher = random_feature((1, 64, 288, 432), seed=1, dtype=torch.float32, device=str(device))

    def peak(loss: object) -> int:
        assert callable(loss)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        torch.autograd.grad(loss(student, teacher), student)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    assert peak(losses.cosine_transfer_loss) < 0.5 * peak(reference.cosine_transfer_loss)
