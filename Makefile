# `make demo` and `make test` do all their own set-up; `make help` lists the rest.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
WORKER_PYTHON := .venv-worker/bin/python

.PHONY: help env demo test lint pins clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 8

env: .venv/.ready .venv-worker/.ready ## Make both environments (.venv, .venv-worker)

.venv/.ready: requirements.txt requirements-dev.txt pyproject.toml .ci/environment
	@.ci/environment main

.venv-worker/.ready: $(wildcard worker/*.txt worker/*.toml) .ci/environment | .venv/.ready
	@.ci/environment worker

demo: env ## Analyse a small synthetic plate on this computer
	@$(PYTHON) -m deployments.demo

# $(call stage,NAME,COMMAND): what runs, then how long it took.
define stage
@printf '\n== %s\n' '$(1)'; SECONDS=0; $(2); status=$$?; \
	printf '== %s: %d s\n' '$(1)' "$$SECONDS"; exit $$status
endef

define lint-stages
$(call stage,ruff,.venv/bin/ruff check . && .venv/bin/ruff format --check .)
$(call stage,mypy,.venv/bin/mypy)
$(call stage,mypy (worker),cd worker && ../.venv-worker/bin/mypy)
endef

MAIN_TESTS := $(PYTHON) -m pytest tests --ignore=tests/worker
WORKER_TESTS := $(WORKER_PYTHON) -m pytest tests/worker

lint: env ## Check style and types
	$(lint-stages)

test: env ## Check style and types, then all tests: the fast ones first
	$(lint-stages)
	$(call stage,fast tests,$(MAIN_TESTS) -m "not e2e")
	$(call stage,fast tests (worker),$(WORKER_TESTS) -m "not e2e")
	$(call stage,end-to-end tests (worker),$(WORKER_TESTS) -m e2e)
	$(call stage,end-to-end tests,$(MAIN_TESTS) -m e2e)

COMPILE := pip compile --quiet --universal --upgrade --custom-compile-command 'make pins'

pins: .venv/.ready ## Pin the newest versions that work together anew
	.venv/bin/uv $(COMPILE) --python-version 3.11 pyproject.toml --extra local -o requirements.txt
	.venv/bin/uv $(COMPILE) --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	cd worker && ../.venv/bin/uv $(COMPILE) --python-version 3.9 pyproject.toml requirements.in \
		-o requirements.txt
	cd worker && ../.venv/bin/uv $(COMPILE) --python-version 3.9 requirements-dev.in \
		-o requirements-dev.txt

clean: ## Remove the environments and all that tests and demo left
	rm -rf .venv .venv-worker demo-output *.egg-info worker/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
