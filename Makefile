# Everything lives in .venv, which is made from any Python 3.11 or newer. `make PYTHON=/path/to/python` chooses one.

BIN := .venv/bin
PURE := messages settings errors text lazy hub trace transports dialects
SCRATCH := build/test

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help lab test lint pure unit notebooks browser interop bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

lab: .venv/.lab ## open JupyterLab on the notebooks
	$(BIN)/chatlab lab

test: export CHATLAB_SKIPPED := $(abspath $(SCRATCH)/skipped)
test: lint pure unit notebooks browser ## every check and test

lint: .venv/.test ## ruff, mypy and the floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Each part of floors 0 and 1 is covered to the last branch by its own tests alone.
pure: .venv/.test ## the pure floors, with their coverage
	@rm -rf $(SCRATCH) && mkdir -p $(SCRATCH)
	@set -e; for part in $(PURE); do \
	    own=tests/$$part; [ -d $$own ] || own=tests/test_$$part.py; \
	    echo "$$part, covered by $$own"; \
	    $(BIN)/coverage run --data-file=$(SCRATCH)/$$part -m pytest -q $$own; \
	    $(BIN)/coverage report --data-file=$(SCRATCH)/$$part --fail-under=100 \
	        --include="chatlab/$$part.py,chatlab/$$part/*"; \
	done

unit: .venv/.test ## the tests that need no browser
	$(BIN)/python -m pytest tests --ignore=tests/browser $(foreach part,$(PURE),--ignore=tests/$(part) --ignore=tests/test_$(part).py)

notebooks: .venv/.test ## every notebook from top to bottom
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=120 notebooks

browser: .venv/.test ## the tests in a real browser
	$(BIN)/python -m pytest tests/browser

interop: build/synapse/.installed .venv/.test ## the tests against a Matrix homeserver, which is large to install
	CHATLAB_SYNAPSE=$(abspath build/synapse/bin/python) $(BIN)/python -m pytest tests/interop

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
