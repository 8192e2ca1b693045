# make demo            trained weights find objects in fresh scenes: first_look.png
# make discovery       from nothing to a trained model and pictures, on a laptop CPU
# make set-prediction  the same for set prediction
# make test            sets up and runs all tests but the slow ones
# make test-all        the slow ones too
# make test-oldest     the parts of Keras with the oldest versions that are promised
# make lint            ruff
# make paper           trains what the paper's tables and figures need, and draws them:
#                      SIZE=cpu (hours on a laptop) or SIZE=paper (GPUs), SEEDS=5
# make results         writes the table of results/ into README.md
# make demo-page       the live page, in build/demo (needs npm)
# make docs            the documentation, in docs/_build/html; runs the code of its pages
# make bench           speed against plain graphs of the same models

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
# Two processes; the tests of a file share what they prepare. Files start in the order of
# their names: ordered by their number of tests, the longest, with one test, came last.
TEST = $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
SEED ?= 0
SEEDS ?= 5
SIZE ?= cpu
DATA_DIR ?= data
RUNS ?= runs
INSTALLED = $(VENV)/.installed

.PHONY: demo discovery set-prediction paper test test-all test-oldest lint results \
	demo-page docs bench clean

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and 'Python 3.10 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --editable ".[dev]"
	touch $(INSTALLED)

demo: $(INSTALLED)
	$(RUN) examples/first_look.py

discovery: $(INSTALLED)
	$(RUN) -m slot_attention_tf.data.prepare tetrominoes/synthetic --data_dir=$(DATA_DIR)
	$(RUN) train_discovery.py --preset=tetrominoes_cpu --seed=$(SEED) --data_dir=$(DATA_DIR) \
		--model_dir=$(RUNS)/discovery_$(SEED)
	$(RUN) eval/discovery.py --model_dir=$(RUNS)/discovery_$(SEED) --data_dir=$(DATA_DIR)

set-prediction: $(INSTALLED)
	$(RUN) -m slot_attention_tf.data.prepare synthetic_clevr/laptop --data_dir=$(DATA_DIR)
	$(RUN) train_set_prediction.py --preset=clevr_cpu --seed=$(SEED) --data_dir=$(DATA_DIR) \
		--model_dir=$(RUNS)/set_prediction_$(SEED)
	$(RUN) eval/set_prediction.py --model_dir=$(RUNS)/set_prediction_$(SEED) --data_dir=$(DATA_DIR)

test: $(INSTALLED)
	$(TEST) -m "not slow"

test-all: $(INSTALLED)
	$(TEST)

test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --constraint tests/oldest.txt ".[dev]"
	$(VENV)-oldest/bin/python -m pytest -n 2 --dist loadfile -m "not slow" -W default \
		tests/layers tests/training tests/test_saving.py tests/export

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

paper: $(INSTALLED)
	$(RUN) -m slot_attention_tf.paper --size=$(SIZE) --seeds=$(SEEDS) \
		--runs=$(RUNS)/paper --data_dir=$(DATA_DIR)
	$(RUN) eval/paper.py --results=results --out=$(RUNS)/paper/$(SIZE) --size=$(SIZE)

results: $(INSTALLED)
	$(RUN) -m slot_attention_tf.results readme

demo-page: $(INSTALLED)
	$(RUN) docs/demo/build.py

# Pages of an earlier build are kept: a page is built again if its file has changed.
docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --editable ".[docs]"
	@if command -v npm > /dev/null; then \
		$(RUN) docs/demo/build.py --out=docs/_build/extra/demo; \
	else \
		echo "There is no npm: the pages are built without the live page."; \
	fi
	$(RUN) -m sphinx -W -b html -j auto docs docs/_build/html

bench: $(INSTALLED)
	$(RUN) benchmarks/step_time.py
	$(RUN) benchmarks/growth.py
	$(RUN) benchmarks/efficiency.py
	$(RUN) benchmarks/matching.py --preset=clevr_cpu --batch_size=512
	$(RUN) benchmarks/data_throughput.py

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info
