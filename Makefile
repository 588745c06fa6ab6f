# `make demo` and `make test` include the set-up; `make help` lists all targets.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help env demo lint check test soak pins clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 8

env: .venv/.ready .venv-worker/.ready ## Make both environments (.venv, .venv-worker)

.venv/.ready: requirements.txt requirements-dev.txt pyproject.toml .ci/environment
	@.ci/environment main

.venv-worker/.ready: $(wildcard worker/*.txt worker/*.toml) .ci/environment | .venv/.ready
	@.ci/environment worker

demo: env ## Analyse a small synthetic plate on this computer
	@.venv/bin/python -m deployments.demo

lint: env ## Check style and types
	@.ci/lanes lint

check: env ## Check style and types, and run the fast tests (use while developing)
	@.ci/lanes check

test: env ## Check style and types, and run all tests but soak (continuous integration)
	@.ci/lanes test

# Tests that soak runs with random seeds, and their size with a fixed seed in test:
#   tests/worker/container/test_kill.py   200 jobs, any seed           40 jobs, one seed
#   tests/deployments/test_chaos.py       4 runs of 300 jobs, any      1 run of 40 jobs, one seed
#   properties (hypothesis)               1000 examples, any           100 examples, derandomized
# A property with max_examples of its own has the same number in both.
soak: env ## Run the long random tests, each time with new seeds
	@.ci/lanes soak

COMPILE := pip compile --quiet --universal --upgrade --custom-compile-command 'make pins'

pins: .venv/.ready ## Pin the newest compatible versions
	.venv/bin/uv $(COMPILE) --python-version 3.11 pyproject.toml --extra local -o requirements.txt
	.venv/bin/uv $(COMPILE) --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	cd worker && ../.venv/bin/uv $(COMPILE) --python-version 3.9 pyproject.toml requirements.in \
		-o requirements.txt
	cd worker && ../.venv/bin/uv $(COMPILE) --python-version 3.9 requirements-dev.in \
		-o requirements-dev.txt

clean: ## Remove the environments and the files of tests and demo
	rm -rf .venv .venv-worker demo-output *.egg-info worker/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
