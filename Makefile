# Everything starts here: `make serve` on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Where `make models` finds the labeled data.
DATA ?= ../shared

.DEFAULT_GOAL := help
.PHONY: help serve test lint fuzz fuzz-long models bench bench-peers soak clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

serve: $(VENV)/.installed  ## Install into .venv and serve on http://127.0.0.1:9000
	$(BIN)/dsapi serve

test: $(VENV)/.installed-dev  ## Run every test, with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --maxprocesses 4 --dist loadfile
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=90

lint: $(VENV)/.installed-dev  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

models: $(VENV)/.installed-dev  ## Train both models anew from $(DATA) (about 90 minutes on two cores)
	$(BIN)/dsapi train colors --data $(DATA)/colors
	$(BIN)/dsapi train themes --data $(DATA)/themes

soak: $(VENV)/.installed-dev  ## Run the long form of tests/soak: 50,000 requests, 100 reloads
	DSAPI_SOAK=long $(BIN)/python -m pytest -v -s tests/soak

FUZZ_SECONDS ?= 30
fuzz: $(VENV)/.installed-dev  ## Fuzz what reads pictures for FUZZ_SECONDS
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python -m fuzz.pictures --write-seeds build/fuzz
	$(BIN)/python -m fuzz.pictures -max_total_time=$(FUZZ_SECONDS) -max_len=65536 \
		-rss_limit_mb=1024 -timeout=120 -artifact_prefix=build/ -print_final_stats=1 build/fuzz

fuzz-long: $(VENV)/.installed-dev  ## The long form: 20,000 mutated pictures, ten minutes of fuzzing
	DSAPI_FUZZ=long $(BIN)/python -m pytest -q tests/prediction/test_mutated_pictures.py
	$(MAKE) fuzz FUZZ_SECONDS=600

bench: $(VENV)/.installed-dev  ## Measure speed against the bare loop and the peers (about 10 minutes)
	$(BIN)/python -m benchmarks.bench

bench-peers:  ## Install the peers that `make bench` compares with (some 10 GB)
	for peer in benchmarks/peers/*/; do \
	  $(PYTHON) -m venv $$peer.venv && \
	  $$peer.venv/bin/pip install --quiet --disable-pip-version-check -r $$peer/requirements.txt || exit 1; \
	done

clean:  ## Remove what make made
	rm -rf $(VENV) benchmarks/peers/*/.venv build dist *.egg-info .coverage*

$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed
