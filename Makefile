# `make` lists the targets. ARGS are passed on: make run ARGS="--language en"; PYTHON names another interpreter.

PYTHON ?= python3
ARGS ?=

.PHONY: help demo run test lint format bench lock clean
.DELETE_ON_ERROR:

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/.run-stamp ## Two devices ask spoken questions and hear their answers; no broker or key needed
	@.venv/bin/voice-gateway demo $(ARGS)

run: .venv/.run-stamp ## Serve until Ctrl-C
	@exec .venv/bin/voice-gateway run $(ARGS)

test: lint ## Format, lint, types and every test
	@scripts/test-system-packages.sh
	.venv/bin/pytest --cov --cov-report=term $(ARGS)

lint: .venv/.dev-stamp ## Format, lint and types only
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/.dev-stamp ## Bring the code into form
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench: .venv/.dev-stamp ## Measure the gateway's own share of the waiting
	.venv/bin/python -m benchmarks $(ARGS)

lock: ## Lock the dependencies in requirements/ (ARGS=--upgrade for newer versions)
	scripts/lock.sh "$(PYTHON)" $(ARGS)

clean: ## Remove the environment and everything made, but not data/
	rm -rf .venv .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run-stamp: requirements/run.txt pyproject.toml
	@scripts/set-up.sh "$(PYTHON)" run

.venv/.dev-stamp: requirements/dev.txt pyproject.toml
	@scripts/set-up.sh "$(PYTHON)" dev
