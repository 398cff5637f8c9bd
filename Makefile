# Everything lives in .venv, which is made from any Python 3.11 or newer. `make PYTHON=/path/to/python` chooses one.

BIN := .venv/bin
LANES := $(BIN)/python -m tests.lanes

.DEFAULT_GOAL := help
.NOTPARALLEL: # `make -j lab test` would start two pips in one .venv; tests.lanes runs at once what can be
.DELETE_ON_ERROR:
.PHONY: help lab check test proof interop lint bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

lab: .venv/.lab ## open JupyterLab on the notebooks
	$(BIN)/chatlab lab

check: .venv/.test ## lint, types and the quick tests, for work in progress: a minute
	$(LANES) check

test: .venv/.test ## everything at least once, within five minutes on two cores
	$(LANES) test

proof: .venv/.test build/synapse/.installed ## the rest: full sizes, chaos, all of the browser, a Matrix homeserver, coverage
	$(LANES) proof

interop: .venv/.test ## the tests against servers of other projects; those whose program is missing are skipped
	CHATLAB_TIER=proof $(BIN)/python -m pytest -q tests/interop -p no:nbmake -p no:playwright -p no:anyio

lint: .venv/.test ## ruff, the floors, mypy and the language rules
	$(LANES) test lint

bench: .venv/.bench ## measure, and write docs/performance.md
	$(BIN)/python -m bench

clean: ## remove everything that make and the tools made
	rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf tests/js/node_modules tests/interop/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.lab .venv/.test: .venv/.%: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

.venv/.bench: bench/requirements.txt .venv/.test
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement bench/requirements.txt
	@touch $@

build/synapse/.installed: tests/interop/requirements.txt
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement tests/interop/requirements.txt
	@touch $@

$(BIN)/pip:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv .venv"; exec $$python -m venv .venv; \
	    fi; \
	done; \
	echo "chatlab needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1
