# Settings: PYTHON and VENV_DIR (see scripts/setup_environment.sh), ARGS (for pytest).
.PHONY: setup check format test demo
.DEFAULT_GOAL := check

VENV_DIR ?= .venv
export VENV_DIR

setup: ## the environment, with the tools for developers
	@bash -euo pipefail -c 'source scripts/setup_environment.sh; setup_environment requirements-dev.txt'

check: ## everything that continuous integration runs
	@.ci/run $(ARGS)

format: setup ## lay out the code and sort the imports
	@"$(VENV_DIR)/bin/python" -m ruff check --quiet --select I --fix .
	@"$(VENV_DIR)/bin/python" -m ruff format .

test: setup ## the tests alone: make test ARGS="tests/bert -k tokenization"
	@"$(VENV_DIR)/bin/python" -m pytest -q $(ARGS)

demo: ## fine-tune on the sample reviews and show what the model attended to
	@scripts/demo
