"""What torch knows of the operators: schemas, opcheck, which gradients there are and which are refused."""

import re

import pytest
import torch

from skt_ext.ops import OPERATORS
from tests.conformance.oracle import flat
from tests.conformance.sample import Sample
from tests.conformance.samples import TESTED
from tests.conformance.samples.cosine_loss import call as cosine_call
from tests.conformance.samples.pool_and_pack import call as pool_call

ops = torch.ops.skt_ext
DIFFERENTIABLE = [name for name, tested in TESTED.items() if tested.differentiable]
FIXED = [(tested.name, argument) for tested in TESTED.values() for argument in tested.fixed]


def tagged(tag: str) -> list[Sample]:
    return [sample for tested in TESTED.values() for sample in tested.samples if tag in sample.tags]


def test_every_operator_has_samples():
    assert set(TESTED) == set(OPERATORS)
    assert all("opcheck" in sample.tags for sample in (tested.samples[0] for tested in TESTED.values()))


@pytest.mark.parametrize("name", OPERATORS)
def test_the_schema_is_the_one_in_python_and_names_the_arguments_of_the_reference(name):
    registered = getattr(ops, name).default._schema
    assert str(registered) == str(torch._C.parse_schema(f"skt_ext::{OPERATORS[name].schema}"))
    assert list(TESTED[name].samples[0].make()) == [argument.name for argument in registered.arguments]


@pytest.mark.parametrize("sample", tagged("opcheck"), ids=str)
def test_opcheck(sample):
    arguments = sample.make()
    for name in TESTED[sample.operator].differentiable:
        for tensor in arguments[name] if isinstance(arguments[name], list) else [arguments[name]]:
            if tensor is not None and arguments.get("with_gradient", True):
                tensor.requires_grad_()
    result = torch.library.opcheck(getattr(ops, sample.operator).default, tuple(arguments.values()))
    assert len(result) == 4
    assert set(result.values()) == {"SUCCESS"}


@pytest.mark.parametrize("sample", tagged("gradcheck"), ids=str)
def test_gradients_are_differences(sample):
    tested, arguments = TESTED[sample.operator], sample.make()
    leaves = [
        tensor.requires_grad_()
        for name in tested.differentiable
        for tensor in (arguments[name] if isinstance(arguments[name], list) else [arguments[name]])
        if tensor is not None
    ]

    def outputs(*values):
        values, changed = iter(values), dict(arguments)
        for name in tested.differentiable:
            if isinstance(arguments[name], list):
                changed[name] = [next(values) for _ in arguments[name]]
            elif arguments[name] is not None:
                changed[name] = next(values)
        results = flat(getattr(ops, sample.operator)(**changed))
        return tuple(
            results[i] for i in tested.differentiated if results[i].numel() and results[i].requires_grad
        )

    assert torch.autograd.gradcheck(outputs, leaves)


@pytest.mark.parametrize(("name", "argument"), FIXED)
def test_a_gradient_for_a_fixed_argument_is_refused(name, argument):
    arguments = next(
        arguments
        for arguments in (sample.make() for sample in TESTED[name].samples)
        if arguments[argument] is not None
    )
    arguments[argument].requires_grad_()
    message = f"{argument} requires a gradient, which skt_ext does not compute: pass {argument}.detach()"
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        getattr(ops, name)(**arguments)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_only_what_has_a_gradient_says_so(name):
    tested, arguments = TESTED[name], TESTED[name].samples[0].make()
    first = arguments[tested.differentiable[0]]
    (first[0] if isinstance(first, list) else first).requires_grad_()
    outputs = flat(getattr(ops, name)(**arguments))
    assert [output.requires_grad for output in outputs] == [
        i in tested.differentiated for i in range(len(outputs))
    ]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("through", ["the gradient", "allow_unused"])
def test_a_second_derivative_is_refused_or_right(name, through):
    """Where the gradient is an operator or made beforehand it is refused; where it is plain torch, torch has it."""
    tested, arguments = TESTED[name], TESTED[name].samples[0].make()
    first = arguments[tested.differentiable[0]]
    leaf = (first[0] if isinstance(first, list) else first).requires_grad_()
    outputs = flat(getattr(ops, name)(**arguments))
    loss = sum(outputs[i].square().sum() for i in tested.differentiated)
    (once,) = torch.autograd.grad(loss, leaf, create_graph=True)
    refusal = twice = None
    try:
        (twice,) = torch.autograd.grad(once.square().sum(), leaf, allow_unused=through == "allow_unused")
    except RuntimeError as error:
        refusal = str(error)
    if refusal is not None:
        assert (
            refusal
            == f"skt_ext::{name} has no second derivative: do not call backward with create_graph=True"
        )
        return
    wanted = OPERATORS[name].reference(**arguments).square().sum()
    (once,) = torch.autograd.grad(wanted, leaf, create_graph=True)
    torch.testing.assert_close(twice, torch.autograd.grad(once.square().sum(), leaf)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_forward_mode_differentiation_raises(name):
    tested, arguments = TESTED[name], TESTED[name].samples[0].make()
    first = tested.differentiable[0]

    def outputs(value):
        return flat(
            getattr(ops, name)(
                **arguments
                | {first: [value, *arguments[first][1:]] if isinstance(arguments[first], list) else value}
            )
        )[0]

    value = arguments[first][0] if isinstance(arguments[first], list) else arguments[first]
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.func.jvp(outputs, (value,), (torch.ones_like(value),))


def test_what_the_gradient_needs_must_have_been_asked_for():
    arguments = cosine_call(with_gradient=False)
    arguments["student"].requires_grad_()
    with pytest.raises(RuntimeError, match="needs with_gradient=True where student requires a gradient"):
        ops.cosine_loss(**arguments)
    arguments = pool_call(with_argmax=False)
    arguments["features"][0].requires_grad_()
    with pytest.raises(RuntimeError, match="needs with_argmax=True where features require a gradient"):
        ops.pool_and_pack(**arguments)


class TestCosineLoss:
    """Its gradient is made with the loss, and rescaled in place when autograd drops it."""

    @pytest.mark.parametrize("per_pixel", [False, True])
    @pytest.mark.parametrize("upstream", [1.0, -1.5, 3.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
    def test_backward_rescales_to_the_gradient_that_comes(self, upstream, dtype, per_pixel):
        arguments = cosine_call(dtypes=(dtype, torch.float32), per_pixel=per_pixel)
        student = arguments["student"].requires_grad_()
        loss, made = ops.cosine_loss(**arguments)
        made = made.double().clone()
        (upstream * loss.sum()).backward()
        error = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(student.grad.double(), made * upstream, rtol=error, atol=error * 1e-3)

    @pytest.mark.parametrize("per_pixel", [False, True])
    def test_a_kept_graph_gives_the_same_gradient_again(self, per_pixel):
        """In-place rescaling must not touch what a second backward needs."""
        arguments = cosine_call(per_pixel=per_pixel)
        student = arguments["student"].requires_grad_()
        loss = 3 * ops.cosine_loss(**arguments)[0].sum()
        first, second, last = (
            torch.autograd.grad(loss, student, retain_graph=keep)[0] for keep in (True, True, False)
        )
        assert torch.equal(first, second)
        torch.testing.assert_close(first, last)
        assert first.data_ptr() != second.data_ptr()

    def test_a_small_float16_gradient_is_not_lost_before_it_is_scaled(self):
        arguments = cosine_call(dtypes=(torch.float16, torch.float16))
        student = arguments["student"].requires_grad_()
        factor = 2.0**-20
        (gradient,) = torch.autograd.grad(
            ops.cosine_loss(**arguments | {"scale": factor})[0] * 1024.0, student
        )
        (wanted,) = torch.autograd.grad(ops.cosine_loss(**arguments)[0] * 1024.0, student)
        torch.testing.assert_close(gradient, wanted, rtol=2e-3, atol=1e-3)
