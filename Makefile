# Everything the project does, in one word each. Every target makes .venv first if it is missing, and brings it up to
# date when pyproject.toml or constraints.txt have changed. Windows: README.md has the same steps for pip.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?= --time 2m

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := help_time reading_memory attention_speed training_speed generation_speed network_speed time_to_quality \
	ablation
LONG_BENCHMARKS := digits translation embeddings_saving
TODAY = $(shell date +%F)

# Two workers on two cores: one thread each, or they would take turns.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

# $(call benchmark,script,subject,flags): its numbers as JSON, its table, both under today's date.
define benchmark
@mkdir -p benchmarks/results/$(TODAY)-$(2)
$(BIN)/python benchmarks/$(1).py $(3) --out benchmarks/results/$(TODAY)-$(2)/results.json \
	> benchmarks/results/$(TODAY)-$(2)/table.md
@cat benchmarks/results/$(TODAY)-$(2)/table.md

endef

.PHONY: help run test check bench bench-long bench-gpu docs clean
.DELETE_ON_ERROR:

help: ## what there is (this list)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed ## train the default model here and see it write (ARGS="book.txt --time 10m" for your own text)
	$(BIN)/atinuke train $(ARGS)

test: $(VENV)/.installed-test ## all tests, on WORKERS=2 processes
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest --numprocesses $(WORKERS)

check: $(VENV)/.installed-check ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench ## every benchmark on this machine's processor, one after the other, into benchmarks/results/
	$(foreach name,$(BENCHMARKS),$(call benchmark,$(name),$(name),))

bench-long: $(VENV)/.installed-test $(VENV)/.installed-bench ## accuracy and BLEU after training: about two hours; needs ATINUKE_DATA
	$(foreach name,$(LONG_BENCHMARKS),$(call benchmark,$(name),$(name),))

bench-gpu: $(VENV)/.installed-bench ## tokens/s, MFU and bits per byte of 100 M parameters on a CUDA device, in eight minutes
	@$(BIN)/python -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else \
		"make bench-gpu needs a CUDA device and torch sees none here; make bench runs on the processor.")' || exit 2
	$(call benchmark,gpu,gpu,)

docs: $(VENV)/.installed-test ## bring the tables in docs/ up to date, and check every command and link
	$(BIN)/python docs/write_tables.py
	$(BIN)/python -m pytest --quiet tests/test_docs.py

clean: ## remove .venv, caches and builds; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	find src tests benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- installing ------------------------------------------------------------------------------------------------------

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"Atinuke needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." \
		"Name another one: make run PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo \
		"$(PYTHON) -m venv failed, as it says above; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV); torch is large, so the first time takes some minutes."
	@# torch first and by itself: the largest download, so that what fails later need not fetch it again
	$(filter-out --quiet,$(INSTALL)) torch
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(INSTALL) --editable '.[check]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(INSTALL) --editable '.[bench]'
	@touch $@
