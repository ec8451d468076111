# `make run` and `make test` set up what they need, each in its own virtual environment, and do nothing twice.
PYTHON ?= python3
RUN := .venv
TEST := .venv-test

.PHONY: run test lint clean

run: $(RUN)/ready
	$(RUN)/bin/python -m lrjax.main --config configs/lr_tk0_eva.py

test: lint
	$(TEST)/bin/python -m pytest

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

$(RUN)/ready: requirements.txt
	$(PYTHON) -m venv $(RUN)
	$(RUN)/bin/python -m pip install --quiet --upgrade pip
	$(RUN)/bin/python -m pip install --quiet -r requirements.txt
	touch $@

$(TEST)/ready: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --upgrade pip
	$(TEST)/bin/python -m pip install --quiet -e ".[test]"
	touch $@

clean:
	rm -rf $(RUN) $(TEST)
