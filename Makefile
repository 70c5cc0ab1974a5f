# `make demo` and `make test` set up everything they need, in .venv.
PYTHON ?= python3
VENV := .venv

.PHONY: demo test clean

demo: $(VENV)/demo
	$(VENV)/bin/cvdvae demo --out out/demo

test: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest

$(VENV)/demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable .
	touch $@

$(VENV)/test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) out
