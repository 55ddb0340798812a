# Two commands for a user (run, test), and what they stand on. Everything lives in .venv/.

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV   := .venv
# cpu or cuda; what is installed is kept unless EXTRA says otherwise.
EXTRA  ?= $(if $(wildcard $(VENV)/.ready-cuda),cuda,cpu)
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-$(EXTRA)
# vLLM 0.5.4, the issue's own engine, has an environment of its own: no environment holds two versions of vLLM.
HISTORIC := .venv-historic
PAST     := $(HISTORIC)/.ready-historic
# mutmut stands beside what is in .venv/, not in it: what it needs must change nothing there.
MUTATION := $(VENV)/mutation
MUTABLE  := $(MUTATION)/.ready-mutation
# Ray stands beside it likewise: vLLM imports Ray wherever it finds it, and its engines would not be as they were.
FLEET    := $(VENV)/fleet
RAY      := $(FLEET)/.ready-fleet

# What is installed was compiled by the setup; nothing is compiled into the work tree.
export PYTHONDONTWRITEBYTECODE := 1

# part NAME, TIME, COMMAND: says which part of the tests runs, how long that took on a slow machine (two cores of an AMD
# EPYC without AVX-512), and how long it took here.
part = echo "make: $(1) (up to $(2) on a slow machine)"; began=$$(date +%s); $(3) && \
	echo "make: $(1) took $$(($$(date +%s) - began)) s"

.PHONY: run gpu historic historic-setup fleet-setup test parts fast engine lint check check-mutations setup clean
.DEFAULT_GOAL := help

help:           ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

run: $(READY)   ## set up, and run the main job: the slot-mapping ablation on real vLLM
	@$(BIN)/python -m harness run configs/slot_mapping.yaml

gpu:            ## on a machine with a GPU: set up, and make all of its runs, each into reports/gpu-...
	@$(MAKE) --no-print-directory setup EXTRA=cuda
	@sh configs/gpu/all.sh $(BIN)/python reports

historic: $(READY) $(PAST)  ## set up, and run the issue's ablation on its own code path, vLLM 0.5.4
	@$(BIN)/python -m harness run configs/historic/slot_mapping.yaml

historic-setup: $(PAST)  ## only set up .venv-historic/

fleet-setup: $(RAY)  ## only set up .venv/fleet/, Ray beside all that is in .venv/

# How many tests run at once, each on cores of its own, to one of which its engine is bound. JOBS=1: one after the other.
JOBS    ?= $(shell cores=$$(nproc 2>/dev/null || echo 1); [ $$cores -lt 4 ] && echo $$cores || echo 4)
AT_ONCE := -n $(if $(filter 1,$(JOBS)),0,$(JOBS))
# WITH_RAY=1 and WITH_HISTORIC=1 set up Ray and vLLM 0.5.4 as well, each in its own environment; without them the tests that
# need one run where it has been set up before, and are named as skipped elsewhere.
test: $(READY) $(if $(WITH_RAY),$(RAY)) $(if $(WITH_HISTORIC),$(PAST)) ## set up, and pass the tests, lint and types (WITH_RAY=1 WITH_HISTORIC=1: those on Ray and vLLM 0.5.4 too)
	@$(MAKE) --no-print-directory --keep-going -j2 lint parts

# Lint and types take one core, beside tests that sometimes wait; the two parts of the tests take all cores.
parts: $(READY)
	@$(MAKE) --no-print-directory fast; passed=$$?; $(MAKE) --no-print-directory engine && exit $$passed

fast: $(READY)  ## only the tests that start no engine
	@$(call part,tests that start no engine,7 min,$(BIN)/python -m pytest -q -rs -m "not engine" $(AT_ONCE) --dist worksteal)

engine: $(READY)  ## only the tests that start the real vLLM
	@$(call part,tests on the real vLLM,7 min or 12 with Ray and vLLM 0.5.4,$(BIN)/python -m pytest -q -rs tests/engine $(AT_ONCE) --dist loadgroup --no-loadscope-reorder)

# import-linter has no quiet mode: what it says is shown when a contract is broken.
lint: $(READY)  ## ruff, the contracts of imports, and mypy --strict
	@$(call part,lint and types,2 min,$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && \
		{ said=$$($(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.cache/import_linter) || { echo "$$said"; false; }; } && \
		$(BIN)/mypy --no-error-summary)

check: test     ## the same as test: lint, types, tests

# A draw of the mutants: there are thousands, and each takes seconds. SEED=2 draws others, MUTANTS=all takes every one,
# CHILDREN=4 runs four at once, and FRESH=1 keeps nothing of an earlier run.
MUTANTS  ?= 300
SEED     ?= 1
CHILDREN ?= 1
check-mutations: $(MUTABLE) ## how many drawn mutants of the code the tests kill, and which live (MUTANTS=all: every mutant)
	@$(call part,mutants ($(MUTANTS)),1 h for 300,PATH="$(abspath $(BIN)):$$PATH" $(MUTATION)/bin/python tests/mutations.py \
		$(MUTATION)/tree --mutants $(MUTANTS) --seed $(SEED) --children $(CHILDREN) $(if $(FRESH),--fresh))

setup: $(READY) ## only set up .venv/ (EXTRA=cuda for a machine with a GPU)

$(READY): pyproject.toml requirements/cpu-overrides.txt requirements/setup.sh
	@sh requirements/setup.sh $(PYTHON) $(VENV) $(EXTRA)
	@touch $@

$(PAST): pyproject.toml requirements/historic.txt requirements/setup.sh
	@sh requirements/setup.sh $(PYTHON) $(HISTORIC) historic
	@touch $@

$(MUTABLE): pyproject.toml requirements/setup.sh | $(READY)
	@sh requirements/setup.sh $(abspath $(BIN)/python) $(MUTATION) mutation
	@touch $@

$(RAY): pyproject.toml requirements/setup.sh | $(READY)
	@sh requirements/setup.sh $(abspath $(BIN)/python) $(FLEET) fleet
	@touch $@

clean:          ## remove .venv/ and .venv-historic/
	rm -rf $(VENV) $(HISTORIC)
