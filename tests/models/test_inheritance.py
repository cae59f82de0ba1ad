import pytest
import torch

from skt_crowd.errors import UsageError
from skt_crowd.models import build_model, inherit_filters


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
