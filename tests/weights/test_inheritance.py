import pytest
import torch

from skt_crowd.errors import UsageError
from skt_crowd.models import build_model
from skt_crowd.weights import inherit_filters


def test_a_student_as_wide_as_its_teacher_becomes_its_copy():
    torch.manual_seed(0)
    teacher, student = build_model("csrnet", "1/16"), build_model("csrnet", "1/16")
    inherit_filters(student, teacher)
    image = torch.randn(1, 3, 24, 40)
    torch.testing.assert_close(student(image), teacher(image))


def test_the_strongest_filters_are_kept_with_the_inputs_that_were_kept_and_their_norm():
    torch.manual_seed(0)
    teacher, student = build_model("csrnet", "1/8"), build_model("csrnet", "1/16")
    first, second = teacher.frontend[0], teacher.frontend[2]  # 3 -> 8 -> 8 channels
    with torch.no_grad():
        first.weight[[1, 4, 5, 7]] += 10.0
        second.weight[[0, 2, 3, 6]] += 10.0
        second.bias.copy_(torch.arange(8.0))
    inherit_filters(student, teacher)
    assert torch.equal(student.frontend[0].weight, first.weight[[1, 4, 5, 7]])
    kept = student.frontend[2].weight
    whole = second.weight[[0, 2, 3, 6]]
    part = whole[:, [1, 4, 5, 7]]
    torch.testing.assert_close(kept.flatten(1).norm(dim=1), whole.flatten(1).norm(dim=1))
    torch.testing.assert_close(
        torch.nn.functional.normalize(kept.flatten(1)), torch.nn.functional.normalize(part.flatten(1))
    )
    assert student.frontend[2].bias.tolist() == [0.0, 2.0, 3.0, 6.0]


def test_the_teacher_is_unchanged():
    teacher, student = build_model("csrnet", "1/8"), build_model("csrnet", "1/16")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    inherit_filters(student, teacher)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_a_wider_student_is_refused():
    with pytest.raises(
        UsageError, match=r"1/8-csrnet cannot inherit from 1/16-csrnet: expected the same network"
    ):
        inherit_filters(build_model("csrnet", "1/8"), build_model("csrnet", "1/16"))


MODELS = ["bl", "can", "csrnet", "dssinet", "mcnn", "sanet"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_inherits_from_its_like(name):
    torch.manual_seed(0)
    teacher, student = build_model(name, "1/8").eval(), build_model(name, "1/8").eval()
    with torch.no_grad():
        for tensor in teacher.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(
                    0.01 * torch.rand_like(tensor)
                )  # biases, slopes and statistics are not what they start as
    inherit_filters(student, teacher)
    image = torch.randn(1, 3, 24, 40)
    torch.testing.assert_close(student(image), teacher(image))


@pytest.mark.parametrize("name", MODELS)
def test_channels_that_the_teacher_does_not_use_are_left_out(name):
    """A teacher whose surplus filters are zero counts as the student does that leaves them out."""
    torch.manual_seed(0)
    small, wide, student = (build_model(name, rate).double().eval() for rate in ("1/16", "1/8", "1/16"))
    with torch.no_grad():
        for tensor in wide.parameters():
            tensor.zero_()
        # Put the small model into the wide one, its channels at the beginning of each layer's.
        for node in wide.channel_graph():
            place(small, wide, node)
        for path, module in small.named_modules():
            if isinstance(module, torch.nn.PReLU):
                wide.get_submodule(path).weight.copy_(module.weight)
    inherit_filters(student, wide)
    image = torch.randn(1, 3, 24, 40, dtype=torch.float64)
    torch.testing.assert_close(student(image), small(image))


def place(small, wide, node):
    """Copy one layer of the small model into the corner of the wide one's, input by input."""
    ours, theirs = small.get_submodule(node.layer), wide.get_submodule(node.layer)
    if isinstance(theirs, torch.nn.BatchNorm2d):
        theirs.weight[: ours.weight.shape[0]] = ours.weight
        return
    transposed = isinstance(theirs, torch.nn.ConvTranspose2d)
    source, target = (m.weight.transpose(0, 1) if transposed else m.weight for m in (ours, theirs))
    ours_at = theirs_at = 0
    for before in node.inputs:
        if before == "image":
            width, step = source.shape[1], target.shape[1]
        else:
            width, step = (model.get_submodule(before).out_channels for model in (small, wide))
        target[: source.shape[0], theirs_at : theirs_at + width] = source[:, ours_at : ours_at + width]
        ours_at, theirs_at = ours_at + width, theirs_at + step
    if ours.bias is not None:
        theirs.bias[: ours.bias.shape[0]] = ours.bias
