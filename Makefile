# `make run` and `make test` set up what they need, each in its own virtual environment, and do nothing twice.
PYTHON ?= python3
RUN := .venv
TEST := .venv-test

PYTEST := $(TEST)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-slow lint browser clean

run: $(RUN)/ready
	$(RUN)/bin/python -m lrjax.main --config configs/lr_tk0_eva.py

test: lint browser
	$(PYTEST) -m "not slow"

# Full-size models, kills, several processes: what is long and seldom breaks.
test-slow: $(TEST)/ready
	$(PYTEST) -m slow

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/pyright --pythonpath $(TEST)/bin/python

# The pages of the report are tested in Chromium; without it those tests are skipped, and say so.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "Chromium is not installed and could not be; on Debian: sudo apt-get install chromium"

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
