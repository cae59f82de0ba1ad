"""Every code block of README, CONTRIBUTING and docs/ does what it says.

Python blocks of a page run one after the other in one namespace; what they print is what stands in the comments behind
print(...). Shell blocks run in bash with recording programs on their path: calls of skt are parsed by the real command
line, other calls must name what exists. The operator and the model of CONTRIBUTING are built and tested as they stand.
"""

import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
import torch
import typer
import yaml

from skt_crowd.cli.app import app
from skt_crowd.models import MODELS
from tests.docs.pages import BLOCKS, PAGES, ROOT, Block

# The only reasons for which a block may be left out.
REASONS = {"needs a GPU"}
LANGUAGES = {"python", "bash", "yaml", "cpp", "text"}
PRINTED = re.compile(r"print\(.*\)  # (.+)")

RUN = [block for block in BLOCKS if block.not_run is None]
SHELL = [block for block in RUN if block.language == "bash"]
FILES = {block.file: block.code for block in RUN if block.file}


def test_every_language_is_known() -> None:
    assert {str(block) for block in BLOCKS if block.language not in LANGUAGES} == set()


def test_every_block_that_is_not_run_says_a_known_reason() -> None:
    assert {block.not_run for block in BLOCKS} - {None} <= REASONS


def test_no_code_is_indented_instead_of_fenced() -> None:
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"\n\n    (?!\S* ?!)(python|skt|pip|make|import|from) ", prose), page


# Python

SCRIPTS = [
    list(blocks)
    for _, blocks in groupby(
        (block for block in RUN if block.language == "python" and not block.file),
        key=lambda block: block.page,
    )
]


@pytest.mark.parametrize("blocks", SCRIPTS, ids=lambda blocks: str(blocks[0].page.relative_to(ROOT)))
def test_python(blocks: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace: dict[str, object] = {"__name__": "a page"}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (block.line - 1) + block.code, str(block.page), "exec"), namespace)
        promised = PRINTED.findall(block.code)
        output = printed.getvalue().splitlines()
        assert len(output) == len(promised), f"{block}: printed {output}"
        for line, promise in zip(output, promised, strict=True):
            assert re.fullmatch(re.escape(promise).replace(r"\.\.\.", ".*"), line), f"{block}: printed {line}"


# Shell

RECORDER = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["RECORDED"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""
PROGRAMS = ("make", "pip", "pytest", "python", "skt")


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell(block: Block, tmp_path: Path) -> None:
    for program in PROGRAMS:
        (tmp_path / program).write_text(RECORDER)
        (tmp_path / program).chmod(0o755)
    record = tmp_path / "recorded"
    record.touch()
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"PATH": str(tmp_path), "RECORDED": str(record)}
    script = "set -eu\n" + block.code
    subprocess.run(
        [bash, "-c", script], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    calls = [json.loads(line) for line in record.read_text().splitlines()]
    assert calls
    for program, *arguments in calls:
        CHECKS[program](arguments)


def check_skt(arguments: list[str]) -> None:
    """Parse the call as `skt` does, and run nothing."""
    group = typer.main.get_command(app)
    name, *rest = arguments
    group.commands[name].make_context(name, list(rest))
    options = iter(rest)
    for option in options:
        if option == "--set":
            key, value = next(options).split("=", 1)
            assert key in RECIPE_KEYS, key
            yaml.safe_load(value)


def recipe_keys() -> set[str]:
    """Every key of every recipe, with dots."""

    def keys(tree: object, prefix: str = "") -> set[str]:
        if not isinstance(tree, dict):
            return set()
        here = {prefix + key for key in tree}
        return here.union(*(keys(value, f"{prefix}{key}.") for key, value in tree.items()))

    recipes = (ROOT / "python" / "skt_crowd" / "recipes").glob("*.yaml")
    return set().union(*(keys(yaml.safe_load(path.read_text())) for path in recipes))


RECIPE_KEYS = recipe_keys()


def check_python(arguments: list[str]) -> None:
    first = arguments[0]
    if first != "-c":
        assert (ROOT / first).is_file(), first
        source = (ROOT / first).read_text(encoding="utf-8")
        for option in (word for word in arguments[1:] if word.startswith("--")):
            assert f'"{option}"' in source, f"{first} has no {option}"


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in arguments:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"\[(.+)\]", " ".join(arguments)):
        for name in extra.split(","):
            assert re.search(rf"^{name} = \[", project, re.MULTILINE), name


def check_pytest(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).is_dir(), arguments[0]


CHECKS = {
    "skt": check_skt,
    "python": check_python,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
}


# The operator of CONTRIBUTING: three files


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native library of the operator, in a namespace of its own."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("operator")
    source, library = folder / "pixel_norm.cpp", folder / "pixel_norm.so"
    source.write_text(FILES["csrc/cpu/pixel_norm.cpp"])
    torch_folder = Path(torch.__file__).parent
    flags = f"-std=c++17 -O1 -Wall -Wextra -Werror -fPIC -shared -I{ROOT}/csrc/include -I{ROOT}/csrc"
    definitions = "-DTORCH_TARGET_VERSION=0x020a000000000000 -DSKT_NAMESPACE=skt_contributing"
    subprocess.run(
        [compiler, *shlex.split(f"{flags} {definitions}"), "-isystem", torch_folder / "include", source, "-o", library,
         f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-lc10"], check=True,
    )  # fmt: skip
    return library


def module_of(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    name = Path(path).stem + "_" + Path(path).parent.name
    (folder / f"{name}.py").write_text(FILES[path])
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(name)


def test_operator(operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = module_of("skt_ext/ops/pixel_norm.py", tmp_path, monkeypatch)
    samples = module_of("tests/conformance/samples/pixel_norm.py", tmp_path, monkeypatch)
    (defined,) = python.OPERATORS
    library = torch.library.Library("skt_contributing", "FRAGMENT")
    library.define(defined.schema)
    torch.ops.load_library(operator)
    name = f"skt_contributing::{defined.name}"
    torch.library.register_fake(name, defined.fake, lib=library)
    torch.library.register_autograd(name, defined.gradient, setup_context=defined.setup_context, lib=library)
    native = torch.ops.skt_contributing.pixel_norm

    for sample in samples.SAMPLES:
        arguments = sample.make()
        expected = defined.reference(**{key: value.double() for key, value in arguments.items()})
        torch.testing.assert_close(
            native(**arguments).double(), expected, rtol=1e-5, atol=1e-6, msg=str(sample)
        )
        if "gradcheck" in sample.tags:
            torch.autograd.gradcheck(native, [value.requires_grad_() for value in arguments.values()])
        if "opcheck" in sample.tags:
            torch.library.opcheck(
                native.default, tuple(value.requires_grad_() for value in arguments.values())
            )
    for refusal in samples.REFUSALS:
        with pytest.raises(RuntimeError, match=refusal.message):
            native(**refusal.changed)
    feature = torch.zeros(1, 2, 1, 2, requires_grad=True)
    native(feature).sum().backward()
    assert not feature.grad.any()


# The model of CONTRIBUTING: two files


def test_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skt_crowd.models import FeatureTaps, build_model
    from skt_crowd.recipes import load_recipe

    small = module_of("python/skt_crowd/models/small.py", tmp_path, monkeypatch)
    monkeypatch.setitem(MODELS, "small", small.Small)
    for rate in (1, "1/4"):
        model = build_model("small", rate)
        assert model(torch.rand(2, 3, 1, 7)).shape == (2, 1, 1, 2)
        with FeatureTaps(model, model.tap_paths("released")) as taps:
            model(torch.rand(1, 3, 9, 8))
        assert tuple(feature.shape[1] for feature in taps.features) == model.tap_channels("released")

    model = build_model("small").double()
    border = model.tiling.alignment + model.tiling.halo
    image = torch.rand(1, 3, 8, 4 * border, dtype=torch.float64)
    beyond = image.clone()
    beyond[..., border:] = torch.nan
    cells = model.tiling.alignment // model.output_stride
    assert torch.equal(model(beyond)[..., :cells], model(image)[..., :cells])

    recipe = tmp_path / "small.yaml"
    recipe.write_text(FILES["python/skt_crowd/recipes/small_part_a_teacher.yaml"])
    assert load_recipe(recipe).model.name == "small"
