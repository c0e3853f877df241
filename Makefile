# make install | demo | test | check | clean
PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= train

.PHONY: install install-test demo test lint types unit clean

install: $(VENV)/.installed-$(EXTRAS)

install-test:
	$(MAKE) install EXTRAS=test

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
