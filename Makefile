PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: install quickstart test lint figures

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

# The README's figures on real reviews. DATA holds imdb.train.tsv.gz, imdb.test.tsv.gz and mr.tsv,
# each with the columns `text` and `label`.
figures: install
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/imdb.yaml \
		--data $(DATA)/imdb.train.tsv.gz --test $(DATA)/imdb.test.tsv.gz --run runs/imdb
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/mr.yaml \
		--data $(DATA)/mr.tsv --run runs/mr
	$(BIN)/rnn-apps train sentiment --data builtin --run runs/builtin
