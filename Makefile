# Each target sets up what it needs in .venv by itself. Only Python >= 3.11, git and make have to be there.
PYTHON ?= python3
VENV := .venv
# Dask starts a killed worker again only within its time: these tests want the cores for themselves.
ALONE := tests/faults/test_workers.py
BIN := $(VENV)/bin
# A process a core: with a thread for each core in every one of them they wait for each other, twice as long.
SPREAD := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help docs demo test test-quick test-browser test-nightly test-mutants lint bench bench-quality serve clean

help:
	@echo "make demo          super-resolve the sample archive end to end, and say where to look"
	@echo "make test          run the tests"
	@echo "make test-quick    those that need no whole scene, in under three minutes: at each save"
	@echo "make lint          style, types and import contracts"
	@echo "make docs          the pages that come from the code, and the site: build/site/index.html"
	@echo "make bench         the benchmarks: start-up, network, pipeline, peers, memory, workers, export"
	@echo "make bench-quality PSNR and SSIM of every model that ships (SRCORE_DATA: trainset/ and data/)"
	@echo "make serve         Prefect server, schedules and worker on this machine, until Ctrl-C"
	@echo "make test-browser  drive the Prefect UI in Chromium"
	@echo "make test-nightly  what takes long: faults, power cuts, 300 spoiled files, all mutants (SRCORE_FUZZ_SEED, _COUNT)"
	@echo "make test-mutants  faults brought into srcore on purpose: each must be found"

$(READY): pyproject.toml constraints.txt
	@echo "== setting up $(VENV) (once; some minutes, mostly torch) =="
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python >= 3.11 is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/srcore demo

test: $(READY)
	@echo "== tests =="
	$(SPREAD) --ignore $(ALONE)
	$(BIN)/python -m pytest $(ALONE)

test-quick: $(READY)
	$(SPREAD) -q -m "not slow"

test-browser: $(READY)
	$(BIN)/python -m pytest -m browser

test-nightly: $(READY)
	$(BIN)/python -m pytest -m nightly

test-mutants: $(READY)
	$(BIN)/python -m pytest -m nightly tests/mutants

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m docs.reference
	$(BIN)/zensical build --strict --clean

bench: $(READY)
	$(BIN)/python -m benchmarks

bench-quality: $(READY)
	$(BIN)/python -m benchmarks.quality --json quality.json --pareto quality.svg

serve: $(READY)
	$(BIN)/srcore serve

clean:
	rm -rf $(VENV) archive incoming build .cache
