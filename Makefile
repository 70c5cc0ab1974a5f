# Every target sets up what it needs, in .venv.
PYTHON ?= python3
VENV := .venv
# One more than processors: the tests of the page and those that start programs wait now and then.
WORKERS := $(shell expr $$(nproc 2> /dev/null || echo 2) + 1)

# They write thousands of files, each safely: where memory has room for them, and
# programs may run there, no disk is waited for.
ROOM := $(shell grep -qs ' /dev/shm [^ ]* [^ ]*noexec' /proc/mounts || df -Pk /dev/shm 2> /dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')

# The tests start many programs: what Python compiles once, it finds again. It compiles what is
# imported; pip would compile all that it installs, which takes longer.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(VENV)/bin/pip install --quiet --no-compile --editable

.DEFAULT_GOAL := help
.PHONY: help demo test docs clean

help:  ## say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/demo  ## draw what could be behind a photograph and behind a face: out/demo
	$(VENV)/bin/cvdvae demo --out out/demo

test: $(VENV)/test  ## style, types and all tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/ruff format --check .
# Types are checked while the tests begin on the other processors, and told of behind them.
	@echo "mypy, beside pytest -n $(WORKERS)"; told=$$(mktemp); trap 'rm -f $$told' EXIT; \
	nice $(VENV)/bin/mypy > $$told 2>&1 & types=$$!; trap 'kill $$types; exit 130' INT TERM; \
	PYTEST_DEBUG_TEMPROOT=$(ROOM) $(VENV)/bin/pytest -n $(WORKERS) --max-worker-restart 1; tests=$$?; wait $$types; types=$$?; \
	cat $$told; exit $$((tests > types ? tests : types))

$(VENV)/demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	touch $@ $(VENV)/demo $(VENV)/docs

docs: $(VENV)/docs  ## the site, offline and without a warning: docs/_build/html/index.html
	env OMP_NUM_THREADS=1 $(VENV)/bin/sphinx-build -j auto --fail-on-warning --keep-going --fresh-env --quiet -b html docs docs/_build/html
	$(VENV)/bin/python docs/check_site.py docs/_build/html

$(VENV)/docs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[docs]'
	touch $@ $(VENV)/demo

clean:  ## remove the environment, the site and all that was drawn
	rm -rf $(VENV) out docs/_build docs/generated docs/auto_examples
