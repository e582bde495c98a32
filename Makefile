# Requires make and Python 3.11 to 3.13; everything else is installed into $(VENV).
PYTHON ?= python3
VENV ?= .venv
MINUTES ?= 6

export TF_CPP_MIN_LOG_LEVEL ?= 2
bin := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all check format wheel release benchmarks docs clean dev-environment examples-environment has-python

help:
	@echo 'make quickstart [MINUTES=6]  train, export and run an English pronunciation model'
	@echo 'make test                    run every check, then the tests that are not slow'
	@echo 'make test-all                run all tests: programs of the docs, examples, all exports'
	@echo 'make check                   check format, lint, types and layers'
	@echo 'make format                  format the code, so that make check passes'
	@echo 'make wheel                   build dist/*.whl and dist/*.tar.gz'
	@echo 'make release                 build, check and try out a release; uploads nothing'
	@echo 'make benchmarks [TORCH=...]  measure search and training (hours); TORCH: a Python with PyTorch'
	@echo 'make docs                    build the documentation in site/'
	@echo 'make clean                   remove the environment, caches and builds'
	@echo
	@echo 'PYTHON=python3.12 selects the Python (3.11 to 3.13), VENV=... the environment.'

quickstart: examples-environment
	@$(bin)/python examples/pronunciation.py --minutes $(MINUTES)

# The checks run first, so that the last line is pytest's own. Each of the two processes runs whole
# files, so that fixtures shared within a file are created once.
test: check
	@$(bin)/pytest --numprocesses=2 --dist=loadfile -m 'not slow'

test-all: check
	@$(bin)/pytest --numprocesses=2 --dist=loadfile --cov --cov-report=term

check: dev-environment
	@$(bin)/ruff format --check --quiet
	@$(bin)/ruff check --quiet
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

format: dev-environment
	@$(bin)/ruff format
	@$(bin)/ruff check --fix

wheel: dev-environment
	@rm -rf build
	@$(bin)/python -m build --outdir dist

release: dev-environment
	@rm -rf build
	@$(bin)/python .ci/release.py

benchmarks: dev-environment
	@$(bin)/python -m benchmarks.search $(if $(TORCH),--peers torch=$(TORCH))
	@$(bin)/python -m benchmarks.training --batches 8 --rounds 3 $(if $(TORCH),--torch $(TORCH))

# Without --quiet: it would keep mkdocs from counting warnings, so `strict` would have no effect.
docs: dev-environment
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --site-dir site

clean:
	@rm -rf $(VENV) build dist site keras_s2s.egg-info .coverage* htmlcov .hypothesis
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev-environment: has-python
	@$(PYTHON) .ci/environment.py $(VENV) dev

examples-environment: has-python
	@$(PYTHON) .ci/environment.py $(VENV) examples

has-python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'There is no `$(PYTHON)`. Install Python 3.11 to 3.13, or select one: make PYTHON=/path/to/python3'; \
	  exit 2; }
