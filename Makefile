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

# The README's figures on real data. REVIEWS holds imdb.train.tsv.gz, imdb.test.tsv.gz and mr.tsv, each
# with the columns `text` and `label`; PRICES is a CSV file of daily bars from 2015 to 2019.
figures: install
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/imdb.yaml \
		--data $(REVIEWS)/imdb.train.tsv.gz --test $(REVIEWS)/imdb.test.tsv.gz --run runs/imdb
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/mr.yaml \
		--data $(REVIEWS)/mr.tsv --run runs/mr
	$(BIN)/rnn-apps train sentiment --data builtin --run runs/reviews
	$(BIN)/rnn-apps train forecasting --config tests/benchmarks/prices_5.yaml \
		--data $(PRICES) --run runs/prices_5
	$(BIN)/rnn-apps train forecasting --config tests/benchmarks/prices_20.yaml \
		--data $(PRICES) --run runs/prices_20
	$(BIN)/rnn-apps train forecasting --config tests/benchmarks/markets.yaml \
		--data builtin --run runs/market
	$(BIN)/rnn-apps train forecasting --config tests/benchmarks/markets.yaml \
		--data builtin/random_walk --run runs/random_walk
