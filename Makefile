PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: install quickstart serve test lint contract figures benchmark

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml .constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt \
		--editable '.[serving,test]'
	touch $@

quickstart: install
	$(BIN)/rnn-apps quickstart

# The exports in saved_models, as TensorFlow Serving answers; SERVE takes more flags.
serve: install
	$(BIN)/rnn-apps serve saved_models $(SERVE)

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not real_data"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The contract of tests/contract, which our server keeps, tried on TensorFlow Serving itself.
IMAGE ?= tensorflow/serving
contract: install
	$(BIN)/python tests/contract/against_docker.py $(IMAGE)

# The README's figures on real data. REVIEWS holds imdb.train.tsv.gz, imdb.test.tsv.gz and mr.tsv, each
# with the columns `text` and `label`; PRICES is a CSV file of daily bars from 2015 to 2019; PAIRS holds
# Multi30k as train, val and test_2016_flickr, each .en and .de; PHOTOS holds train.jsonl, test.jsonl
# and the folder images, WEIGHTS is a file of MobileNet's weights; TEXTS holds the Penn Treebank as
# ptb.train.txt.gz, ptb.valid.txt.gz and ptb.test.txt.gz, and tinyshakespeare.txt.gz.
figures: install
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/imdb.yaml \
		--data $(REVIEWS)/imdb.train.tsv.gz --test $(REVIEWS)/imdb.test.tsv.gz --run runs/imdb
	$(BIN)/rnn-apps train sentiment --config tests/benchmarks/imdb_pretrained.yaml \
		--data $(REVIEWS)/imdb.train.tsv.gz --test $(REVIEWS)/imdb.test.tsv.gz \
		--run runs/imdb_pretrained
	$(BIN)/python tests/benchmarks/idioms.py runs/imdb_pretrained/language_model/model.keras \
		--texts $(REVIEWS)/imdb.train.tsv.gz
	$(BIN)/python tests/benchmarks/few_labels.py $(REVIEWS)/imdb.train.tsv.gz \
		$(REVIEWS)/imdb.test.tsv.gz --language runs/imdb_pretrained/language_model
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
	$(BIN)/rnn-apps train translation --config tests/benchmarks/multi30k.yaml \
		--data $(PAIRS)/train.en+train.de --validation $(PAIRS)/val.en+val.de \
		--test $(PAIRS)/test_2016_flickr.en+test_2016_flickr.de --run runs/german
	$(BIN)/rnn-apps train translation --config tests/benchmarks/multi30k.yaml \
		--data $(PAIRS)/train.de+train.en --validation $(PAIRS)/val.de+val.en \
		--test $(PAIRS)/test_2016_flickr.de+test_2016_flickr.en --run runs/english
	$(BIN)/rnn-apps train captioning --config tests/benchmarks/photographs.yaml \
		--backbone_weights $(WEIGHTS) --data $(PHOTOS)/train.jsonl --test $(PHOTOS)/test.jsonl \
		--folder $(PHOTOS)/images --run runs/photographs
	$(BIN)/python tests/benchmarks/translation_epoch.py $(PAIRS)/train.en+train.de
	$(BIN)/rnn-apps train language --config tests/benchmarks/penn_treebank.yaml \
		--data $(TEXTS)/ptb.train.txt.gz --validation $(TEXTS)/ptb.valid.txt.gz \
		--test $(TEXTS)/ptb.test.txt.gz --run runs/penn_treebank
	$(BIN)/rnn-apps train language --config tests/benchmarks/penn_treebank_300.yaml \
		--data $(TEXTS)/ptb.train.txt.gz --validation $(TEXTS)/ptb.valid.txt.gz \
		--test $(TEXTS)/ptb.test.txt.gz --run runs/penn_treebank_300
	$(BIN)/rnn-apps train language --config tests/benchmarks/shakespeare.yaml \
		--data $(TEXTS)/tinyshakespeare.txt.gz --run runs/shakespeare

# Speed: layers, training epochs and exports, beside others; run it alone. Figures go to speed.json.
# DATA may name other data than the built-in, as in DATA="sentiment=reviews.tsv translation=a.en+a.de".
benchmark: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt \
		--editable '.[benchmark]'
	$(BIN)/python tests/benchmarks/speed.py --output speed.json --data $(DATA)
	$(BIN)/python tests/benchmarks/serving.py
