# The words used by CI are the words used at home. Every target makes its own environment first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RIVALS := $(VENV)/.rivals
LOWEST := .venv-lowest

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest storm crash interrupts damage twins fuzz check format docs cover bench bench-guard bench-memory bench-bulk bench-relay package clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asyncupload needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)   ## send a real file up to the embedded server and back (make demo FILE=path for yours)
	$(BIN)/asyncupload demo $(FILE)

test: $(READY)   ## run the tests
	$(BIN)/python -m pytest --numprocesses 4 $(ARGS)

$(LOWEST)/.ready: pyproject.toml tests/lowest.py $(READY)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(BIN)/python tests/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LOWEST)/constraints.txt --editable '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.ready ## run the tests with the lowest versions that pyproject.toml allows (ARGS=tests/test_client.py)
	$(LOWEST)/bin/python -m pytest --numprocesses 2 $(ARGS)

storm: $(READY)  ## ten thousand uploads under random faults (ARGS='--seed N' plays one round again)
	$(BIN)/python tests/storm.py $(ARGS)

crash: $(READY)  ## five hundred kills of a load under random faults (ARGS='--seed N' plays one round again)
	$(BIN)/python tests/crash.py $(ARGS)

interrupts: $(READY) ## two hundred SIGINTs, SIGTERMs and SIGHUPs at random moments (ARGS='--seed N' plays one again)
	$(BIN)/python tests/interrupts.py $(ARGS)

damage: $(READY) ## a hundred loads whose journal is damaged (ARGS='--seed N' plays one again)
	$(BIN)/python tests/damage.py $(ARGS)

twins: $(READY)  ## forty pairs of programs of one account that send the same at once (ARGS='--seed N' plays one again)
	$(BIN)/python tests/twins.py $(ARGS)

fuzz: $(READY)   ## a million mutated answers for the reply reader
	$(BIN)/python tests/fuzz.py $(ARGS)

check: $(READY)  ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --project tests/typing --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --quiet tests/test_house.py

format: $(READY) ## mend format and lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)   ## write docs/operations.md and docs/generations.md anew, from the code and from what runs
	$(BIN)/python docs/make_operations.py
	$(BIN)/python docs/make_generations.py

cover: $(READY)  ## run the tests and say which lines none of them reached
	$(BIN)/python -m pytest --numprocesses 2 --cov --cov-report=term-missing:skip-covered $(ARGS)

$(RIVALS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(RIVALS) ## measure, beside what users would pick instead (ARGS='single lines', ARGS=--full)
	$(BIN)/python benchmarks/suite.py $(ARGS)

bench-guard: $(RIVALS) ## has something become much slower?
	$(BIN)/python benchmarks/guard.py

bench-memory: $(READY) ## peak memory of the command on a large file (SIZE=10GiB by default)
	$(BIN)/python benchmarks/memory.py $(or $(SIZE),10GiB)

bench-bulk: $(READY) ## measure speed and memory of a load of many files (ARGS='--files 5000 --large 2' for a quick look)
	$(BIN)/python benchmarks/load.py $(ARGS)

bench-relay: $(READY) ## measure a web backend that relays: one large body, many small ones, how the event loop fares
	$(BIN)/python benchmarks/relay.py large $(or $(SIZE),5GiB)
	$(BIN)/python benchmarks/relay.py many 1000 200
	$(BIN)/python benchmarks/relay.py stall 1GiB

package: $(READY) ## build the wheel and test it without the source
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[dev]"
	cp -r tests docs pyproject.toml README.md CHANGELOG.md Makefile build/
	cd build && venv/bin/python -m pytest --numprocesses 2 tests/cli tests/test_client.py tests/test_house.py tests/test_pytest_plugin.py tests/test_readme.py

clean:           ## remove what the other targets made
	rm -rf $(VENV) $(LOWEST) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
