# Everything a developer or a new user types. `make help` lists it.
SHELL := /bin/bash
PYTHON := .venv/bin/python
PYTEST := .venv/bin/pytest
# Integration tests wait for kernels, databases and timers more than they compute: two workers per core pay.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test unit lint format bench test-vm vm-shell docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## Install what the machine lacks, and the virtual environment .venv
	@tools/setup.sh

demo: ## Start examples/shop and show a request through it
	@tools/setup.sh demo
	@tools/demo.sh up

demo-down: ## Stop examples/shop and remove its data
	@tools/demo.sh down

test: setup ## Run all tests of this machine: unit, integration, end to end, linters (needs root)
	@tools/test.sh -n $(WORKERS)

unit: setup ## Run the tests that need neither root nor a network
	@$(PYTEST) tests/unit tests/repository --dist loadfile -n $(WORKERS)

lint: setup ## Run linters, types and import contracts
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup ## Lay out the code and apply safe fixes
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

bench: setup ## Compare with docker compose, docker, podman and buildah; prints a Markdown table
	@tools/setup.sh bench
	@$(PYTHON) -m tests.benchmarks $(BENCH)

test-vm: setup ## Run the suites on a stock Debian kernel with systemd and cgroup v2, in a virtual machine (VM=ci: a part)
	@tools/setup.sh vm
	@$(PYTHON) -m tests.vm test $(VM)

vm-shell: setup ## Boot that virtual machine and open a root shell in it
	@tools/setup.sh vm
	@$(PYTHON) -m tests.vm shell

docs: setup ## Write the generated pages of docs/ again
	@$(PYTHON) -m composer.cli.reference > docs/reference/cli.md

clean: ## Remove what the targets above made in this directory (images of the machine stay)
	@rm -rf .venv .cache .vm .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
