# `make` lists the targets. ARGS are passed on: make run ARGS="--language en"; PYTHON names another interpreter.

PYTHON ?= python3
ARGS ?=
# Checkouts of the real libraries for the virtual board; without them it is built with stand-ins.
PUBSUBCLIENT ?=
MICRO_MP3 ?=
# Answers that the soak test wants to hear whole, and seconds from one loss of the link to the next.
TURNS ?= 100
DROP_EVERY ?= 30

.PHONY: help demo run test test-home-assistant lint format firmware-test firmware-host firmware-soak bench lock clean
.DELETE_ON_ERROR:

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

demo: .venv/.run-stamp ## Two devices ask spoken questions and hear their answers; no broker or key needed
	@.venv/bin/voice-gateway demo $(ARGS)

run: .venv/.run-stamp ## Serve until Ctrl-C
	@exec .venv/bin/voice-gateway run $(ARGS)

test: lint ## Format, lint, types and every test
	@scripts/test-system-packages.sh
	@if scripts/test-system-packages.sh --has-firmware; then $(MAKE) --no-print-directory firmware-test; fi
	@if [ "$(CI)" = true ]; then scripts/set-up-home-assistant.sh; fi
	.venv/bin/pytest --numprocesses 3 --dist loadfile --cov --cov-report=term $(ARGS)

lint: .venv/.dev-stamp ## Format, lint and types only
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

test-home-assistant: .venv/.dev-stamp ## The tests with a real Home Assistant, old and new, which this installs
	@scripts/set-up-home-assistant.sh
	.venv/bin/pytest tests/home_assistant $(ARGS)

format: .venv/.dev-stamp ## Bring the code into form
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

firmware-test: ## The firmware's core: tests, fuzzing, size on a 32-bit board, format (on a PC)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync -C firmware test fuzz size format-check ARGS=

firmware-host: ## The firmware as a Linux program (PUBSUBCLIENT=folder MICRO_MP3=folder for the real libraries)
	@$(MAKE) --no-print-directory -C firmware host \
	    PUBSUBCLIENT="$(abspath $(PUBSUBCLIENT))" MICRO_MP3="$(abspath $(MICRO_MP3))"

firmware-soak: .venv/.dev-stamp ## Ask the virtual board while its link drops (TURNS=100 DROP_EVERY=30, and as firmware-host)
	@PUBSUBCLIENT="$(abspath $(PUBSUBCLIENT))" MICRO_MP3="$(abspath $(MICRO_MP3))" \
	    .venv/bin/python -m benchmarks.soak --turns $(TURNS) --drop-every $(DROP_EVERY) $(ARGS)

bench: .venv/.dev-stamp ## Measure everything, in some 15 minutes (ARGS=--quick, or names: ARGS="storage costs")
	@.venv/bin/python -m benchmarks $(ARGS)

lock: ## Lock the dependencies in requirements/ (ARGS=--upgrade for newer versions)
	scripts/lock.sh "$(PYTHON)" $(ARGS)

clean: ## Remove the environment and everything made, but not data/
	rm -rf .venv .home-assistant .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo-output
	rm -rf firmware/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run-stamp: requirements/run.txt pyproject.toml
	@scripts/set-up.sh "$(PYTHON)" run

.venv/.dev-stamp: requirements/dev.txt pyproject.toml
	@scripts/set-up.sh "$(PYTHON)" dev
