# Two commands for a user (run, test), and what they stand on. Everything lives in .venv/.

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV   := .venv
# cpu or cuda; what is installed stays unless told otherwise.
EXTRA  ?= $(if $(wildcard $(VENV)/.ready-cuda),cuda,cpu)
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-$(EXTRA)

# Caches stay inside .venv/, so that nothing ever lands in the work tree.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/.cache/pycache

.PHONY: run gpu test fast lint check setup clean
.DEFAULT_GOAL := help

help:           ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

run: $(READY)   ## set up, and run the main job: the slot-mapping ablation on real vLLM
	@$(BIN)/python -m harness run configs/slot_mapping.yaml

gpu:            ## on a machine with a GPU: set up, and make all of its runs, each into reports/gpu-...
	@$(MAKE) --no-print-directory setup EXTRA=cuda
	@sh configs/gpu/all.sh $(BIN)/python reports

test: $(READY)  ## set up, and pass the tests (lint and types included)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q

fast: $(READY)  ## only the tests that start no engine
	@$(BIN)/python -m pytest -q -m "not engine"

lint: $(READY)  ## ruff and mypy --strict
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && $(BIN)/mypy --no-error-summary

check: test     ## the same as test: lint, types, tests

setup: $(READY) ## only set up .venv/ (EXTRA=cuda for a machine with a GPU)

$(READY): pyproject.toml requirements/cpu-overrides.txt requirements/setup.sh
	@sh requirements/setup.sh $(PYTHON) $(VENV) $(EXTRA)
	@touch $@

clean:          ## remove .venv/
	rm -rf $(VENV)
