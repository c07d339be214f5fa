# Everything a fresh clone needs: python3 (3.11 or later), make, and the package index.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

export UV_HTTP_TIMEOUT ?= 600

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs notebooks bench clean

help:
	@echo "make demo       fit on three tissue sections, predict a fourth, write figures to demo/"
	@echo "make test       the whole test suite, with coverage, a process for each core"
	@echo "make lint       ruff check, ruff format --check, mypy"
	@echo "make docs       build the documentation into docs/_build/html"
	@echo "make notebooks  execute the notebooks in place"
	@echo "make bench      run every benchmark"
	@echo "make clean      remove what the targets above wrote (keeps $(VENV))"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"stflow needs Python 3.11 or later; say which with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet uv
	$(VENV)/bin/uv pip install --python $(RUN) --editable . --group dev
	@touch $@

demo: $(READY)
	$(RUN) scripts/demo.py

test: $(READY)
	MPLBACKEND=Agg OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile --cov --cov-report=term

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(READY)
	MPLBACKEND=Agg $(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html

notebooks: $(READY)
	$(RUN) -m nbconvert --to notebook --execute --inplace notebooks/*.ipynb

bench: $(READY)
	@for script in $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(RUN) $$script || exit 1; \
	done

clean:
	rm -rf demo dist docs/_build docs/generated .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -exec rm -rf {} +
