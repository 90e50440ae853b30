# make demo   set up, then regenerate, verify and publish into ./releases
# make test   set up, then run the tests; of what has very many cases, a part that a printed seed chooses
# make test-all   set up, then run every test with every case
# make lint   style and types
# make docs   the pages as a site in ./site; a link that leads nowhere is an error
# make bench  speed and memory, as ratios in one run
# make confirm-cuda REF=STORE-REF   on a machine with a graphics card: make a release's pair sets on it, and confirm it

VENV := .venv
BIN := $(abspath $(VENV))/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Three at a time, on two cores too: many tests wait, for servers, pauses and time limits.
PYTEST ?= -n 3 --dist worksteal
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-all lint docs bench confirm-cuda clean

demo: $(VENV)/.demo
	dvc repro
	aqea-registry verify
	aqea-registry publish --tag v1

test: $(VENV)/.dev
	python -m pytest $(PYTEST)

test-all: $(VENV)/.dev
	python -m pytest $(PYTEST) --all

lint: $(VENV)/.dev
	ruff format --check .
	ruff check .
	mypy

docs: $(VENV)/.dev
	mkdocs build

bench: $(VENV)/.dev
	python -m benchmarks

confirm-cuda:
	@test -n "$(REF)" || { echo "say which release: make confirm-cuda REF=oci:releases:v1"; exit 2; }
	python -m benchmarks.device cuda
	aqea-registry confirm $(REF) --device cuda

# torch first and by its exact version: a bare `torch` would bring gigabytes that a processor does not need.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	python -m pip install --quiet --constraint constraints.txt --editable '.[generate,mteb,demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@

clean:
	rm -rf $(VENV) .aqea releases dvc_plots site
