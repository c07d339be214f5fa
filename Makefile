# Everything a fresh clone needs: python3 (3.11 or later), make, and the package index.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready-$(VERSION)
INSTALLED := $(VENV)/.installed-$(VERSION)

PYTHON_LOWEST ?= python3.11
VENV_LOWEST := .venv-lowest
RUN_LOWEST := $(VENV_LOWEST)/bin/python
READY_LOWEST := $(VENV_LOWEST)/.ready

# Half of a fresh process is compiling what it imports, so byte code is kept.
TESTING := MPLBACKEND=Agg OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
PYTEST := -m pytest -n auto --dist loadfile --no-loadscope-reorder
# Cheap where Python has sys.monitoring, which before 3.14 counts lines alone.
COVERAGE := --cov --cov-report=term $(if $(filter 3.11 3.12 3.13,$(VERSION)),,--cov-branch)

export UV_HTTP_TIMEOUT ?= 600
# A backend as uv names it (cpu, cu130, auto); unset, torch is what the package index has.
ifdef TORCH
export UV_TORCH_BACKEND := $(TORCH)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-lowest lint lock docs gallery notebooks bench release-check clean

help:
	@echo "make demo           fit on three tissue sections, predict a fourth, write figures to demo/;"
	@echo "                    make demo TORCH=cpu installs torch without CUDA, which is smaller"
	@echo "make test           the whole test suite, with coverage, a process for each core"
	@echo "make test-fast      the suite without tests that take more than five seconds, while you edit"
	@echo "make test-lowest    quick tests on Python 3.11 with the oldest libraries allowed"
	@echo "make lint           ruff check, ruff format --check, mypy, uv lock --check"
	@echo "make lock           uv.lock anew, after a change of dependencies"
	@echo "make docs           build the documentation into docs/_build/html"
	@echo "make gallery        draw the pictures of docs/gallery.md anew"
	@echo "make notebooks      execute the notebooks in place; make notebooks NAMES=he_only runs one"
	@echo "make bench          run every benchmark"
	@echo "make release-check  build, check, install in a clean environment and run there"
	@echo "make clean          remove what the targets above wrote (keeps $(VENV))"

# The environment is made anew when PYTHON is of another version than its own.
define environment
@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	"stflow needs Python 3.11 or later; say which with: make PYTHON=python3.11")'
@test "$$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1)" = "$(VERSION)" || \
	$(PYTHON) -m venv --clear $(VENV)
$(RUN) -m pip install --quiet uv
endef

$(READY): pyproject.toml
	$(environment)
	$(RUN) -m uv pip install --python $(RUN) --editable . --group dev
	@touch $@ $(INSTALLED)

# What stflow itself needs, without what its development needs.
$(INSTALLED): pyproject.toml
	@echo "Installing stflow into $(VENV), once: some minutes, several GB with CUDA ..."
	$(environment)
	$(RUN) -m uv pip install --python $(RUN) --editable .
	@touch $@

$(READY_LOWEST): pyproject.toml
	$(PYTHON_LOWEST) -m venv $(VENV_LOWEST)
	$(RUN_LOWEST) -m pip install --quiet uv
	$(RUN_LOWEST) -m uv pip install --python $(RUN_LOWEST) --resolution lowest-direct \
		--editable . --group test
	@touch $@

demo: $(INSTALLED)
	$(RUN) scripts/demo.py

test: $(READY)
	$(TESTING) $(if $(filter 3.11,$(VERSION)),,COVERAGE_CORE=sysmon) $(RUN) $(PYTEST) $(COVERAGE)

test-fast: $(READY)
	$(TESTING) $(RUN) $(PYTEST) -m "not slow"

# Of what trains and what draws, what calls each library once is enough.
ONCE := $(addprefix tests/,tl/test_predict.py tl/test_evaluate.py pl/test_gene_maps.py)

# Old libraries warn of what newer ones beside them have deprecated.
test-lowest: $(READY_LOWEST)
	$(TESTING) $(RUN_LOWEST) $(PYTEST) -m "not slow" \
		-W ignore::DeprecationWarning -W ignore::FutureWarning \
		$(addprefix tests/,sdata images io pp get) $(ONCE)

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m uv lock --check

lock: $(READY)
	$(RUN) -m uv lock

docs: $(READY)
	MPLBACKEND=Agg $(RUN) -m sphinx -W --keep-going -b html docs docs/_build/html

gallery: $(READY)
	MPLBACKEND=Agg $(RUN) scripts/draw_gallery.py

notebooks: $(READY)
	$(RUN) scripts/run_notebooks.py $(NAMES)

bench: $(READY)
	@for script in $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(RUN) $$script || exit 1; \
	done

release-check: $(READY)
	$(RUN) scripts/release_check.py

clean:
	rm -rf demo gallery dist docs/_build docs/generated .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -exec rm -rf {} +
