import pytest
import torch

CHANNELS = [3, 70, 1, 129]


def features(batch, channels, positions, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, positions, generator=generator, dtype=torch.float64).to(dtype)


def formula(student, teacher, channels, adjacent):
    """Pair by pair in float64: distance (N,) and the matrix of differences (N, C, C)."""
    student, teacher = student.double(), teacher.double()
    s, t = student.split(channels, 1), teacher.split(channels, 1)
    starts = [sum(channels[:i]) for i in range(len(channels))]
    distance = torch.zeros(len(student), dtype=torch.float64)
    difference = torch.zeros(len(student), sum(channels), sum(channels), dtype=torch.float64)
    for i in range(len(channels)):
        for j in range(i + 1, i + 2 if adjacent else len(channels)):
            if j == len(channels):
                continue
            pair = (t[i] @ t[j].mT - s[i] @ s[j].mT) / student.shape[2]
            distance = distance + pair.square().sum((1, 2))
            rows, columns = (slice(starts[k], starts[k] + channels[k]) for k in (i, j))
            difference[:, rows, columns] = pair.detach()
            difference[:, columns, rows] = pair.detach().mT
    return distance, difference


@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("channels", [[1, 1], [5], [], CHANNELS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_matches_the_formula(ops, adjacent, batch, channels, dtype):
    student, teacher = (features(batch, sum(channels), 37, dtype, seed) for seed in (0, 1))
    distance, difference = ops.dense_fsp_distance(student, teacher, channels, adjacent, "float32")
    expected, expected_difference = formula(student, teacher, channels, adjacent)
    error = 1e-12 if dtype == torch.float64 else 2e-6
    assert distance.dtype == difference.dtype == dtype
    torch.testing.assert_close(distance.double(), expected, rtol=error, atol=0)
    torch.testing.assert_close(difference.double(), expected_difference, rtol=0, atol=error)
    assert torch.equal(difference, difference.mT)


@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backward_is_the_gradient_of_the_formula(ops, adjacent, dtype):
    student, teacher = (features(3, sum(CHANNELS), 37, dtype, seed) for seed in (0, 1))
    _, difference = ops.dense_fsp_distance(student, teacher, CHANNELS, adjacent, "float32")
    grad = torch.tensor([1.0, -0.5, 3.0], dtype=dtype)
    result = ops.dense_fsp_distance_backward(grad, student, difference, CHANNELS, adjacent, "float32")
    # The matrix holds D and D', each of which receives half of 4 / P.
    leaf = student.double().requires_grad_()
    (expected,) = torch.autograd.grad(formula(leaf, teacher, CHANNELS, adjacent)[0], leaf, grad.double())
    assert result.dtype == dtype
    scale = expected.abs().max().item()
    torch.testing.assert_close(
        result.double(), expected, rtol=0, atol=scale * (1e-13 if dtype == torch.float64 else 1e-5)
    )


def test_expanded_gradient_of_a_sum(ops):
    student, teacher = features(3, 8, 5), features(3, 8, 5, seed=1)
    _, difference = ops.dense_fsp_distance(student, teacher, [2, 6], False, "float32")
    result = ops.dense_fsp_distance_backward(
        torch.tensor(2.0).expand(3), student, difference, [2, 6], False, "float32"
    )
    assert torch.equal(
        result,
        ops.dense_fsp_distance_backward(torch.full((3,), 2.0), student, difference, [2, 6], False, "float32"),
    )


def test_strided_inputs(ops):
    student, teacher = features(2, 7, 9), features(2, 7, 9, seed=1)
    expected, _ = ops.dense_fsp_distance(student, teacher, [3, 4], False, "float32")
    strided = student.mT.contiguous().mT
    assert not strided.is_contiguous()
    distance, difference = ops.dense_fsp_distance(strided, teacher, [3, 4], False, "float32")
    torch.testing.assert_close(distance, expected)
    torch.testing.assert_close(
        ops.dense_fsp_distance_backward(torch.ones(2), strided, difference.mT, [3, 4], False, "float32"),
        ops.dense_fsp_distance_backward(torch.ones(2), student, difference, [3, 4], False, "float32"),
    )


def test_autocast_does_not_lower_the_precision(ops):
    student, teacher = features(1, 20, 33), features(1, 20, 33, seed=1)
    expected = ops.dense_fsp_distance(student, teacher, [8, 12], False, "float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance, difference = ops.dense_fsp_distance(student, teacher, [8, 12], False, "float32")
        gradient = ops.dense_fsp_distance_backward(
            torch.ones(1), student, difference, [8, 12], False, "float32"
        )
    assert torch.equal(distance, expected[0])
    assert torch.equal(
        gradient,
        ops.dense_fsp_distance_backward(torch.ones(1), student, difference, [8, 12], False, "float32"),
    )


def test_repeated_calls_give_the_same_bits(ops, threads):
    student, teacher = features(2, sum(CHANNELS), 100), features(2, sum(CHANNELS), 100, seed=1)
    first = ops.dense_fsp_distance(student, teacher, CHANNELS, False, "float32")
    for _ in range(3):
        for one, two in zip(
            first, ops.dense_fsp_distance(student, teacher, CHANNELS, False, "float32"), strict=True
        ):
            assert torch.equal(one, two)


def test_messages_name_the_argument_and_what_came(ops):
    x = torch.ones(1, 4, 5)
    with pytest.raises(
        RuntimeError,
        match=r"skt_ext::dense_fsp_distance: student must have the axes \(N, C, P\); got shape \(4, 5\)",
    ):
        ops.dense_fsp_distance(x[0], x[0], [2, 2], False, "float32")
    with pytest.raises(RuntimeError, match=r"channels must sum to C = 4; got \(2, 3\), which sum to 5"):
        ops.dense_fsp_distance(x, x, [2, 3], False, "float32")
    with pytest.raises(RuntimeError, match=r"channels must be positive; got \(0, 4\)"):
        ops.dense_fsp_distance(x, x, [0, 4], False, "float32")
    with pytest.raises(RuntimeError, match="student must have dtype Float or Double; got Half"):
        ops.dense_fsp_distance(x.half(), x.half(), [2, 2], False, "float32")
    with pytest.raises(RuntimeError, match="teacher must have dtype Float; got Double"):
        ops.dense_fsp_distance(x, x.double(), [2, 2], False, "float32")
    with pytest.raises(RuntimeError, match=r"at least one position P; got \(1, 4, 0\)"):
        ops.dense_fsp_distance(torch.ones(1, 4, 0), torch.ones(1, 4, 0), [2, 2], False, "float32")
    with pytest.raises(RuntimeError, match=r"grad must have shape \(N,\) = \(1,\); got \(2,\)"):
        ops.dense_fsp_distance_backward(torch.ones(2), x, torch.ones(1, 4, 4), [2, 2], False, "float32")
    with pytest.raises(RuntimeError, match="precision must be float32, tf32, bfloat16 or float16; got half"):
        ops.dense_fsp_distance(x, x, [2, 2], False, "half")
