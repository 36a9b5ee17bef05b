PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: install quickstart test lint benchmark figures clean

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml .constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt \
		--editable '.[serving,test]'
	touch $@

quickstart: install
	$(BIN)/rnn-apps quickstart

test: install
	$(BIN)/python -m pytest -n 2 -m "not real_data"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
