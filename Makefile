# Needs Python 3.11 or newer with pip, and make; everything else goes into .venv.
# TORCH=cpu (or cu126, ...) picks the PyTorch build: it is passed on as uv's --torch-backend.
PYTHON ?= python3
BIN := .venv/bin
TORCH ?=
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header pyproject.toml
NO_GPU = grep -Ev '^(nvidia-|cuda-|triton)'
NEW = grep -vxFf requirements.lock
BACKEND := $(if $(TORCH),--torch-backend $(TORCH))

# our kernels train faster, where a compiler with OpenMP and a CPU with AVX2 are
KERNELS = $(shell $(CXX) -march=native -fopenmp -dM -E -x c++ /dev/null 2>/dev/null \
	| grep -q __AVX2__ && echo callbacks=native)

.DEFAULT_GOAL := help
.PHONY: help install train test test-extras test-ray test-slow lint docs results notebook lock

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

install: .venv/installed ## make .venv with the pinned versions of everything

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: ghostexp needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=FILE names another one")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# what a training needs; the extras and the tools take as long again
.venv/trains: requirements.lock pyproject.toml | .venv/bin/uv
	$(INSTALL) $(BACKEND) --constraint requirements.lock -e .
	touch $@

.venv/installed: requirements.lock pyproject.toml | .venv/bin/uv
	$(INSTALL) --compile-bytecode $(BACKEND) -r requirements.lock
	$(INSTALL) --no-deps -e .
	touch .venv/trains $@

train: .venv/trains ## train Ghost-ResNet-56 on handwritten digits
	@echo "Ghost-ResNet-56 learns 1,438 handwritten digits in 12 epochs: about a minute on 2 cores"
	$(BIN)/python train.py model=ghost_resnet56 sched=cosine $(KERNELS)

test: install ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=20 -m "not extras and not slow"

.venv/extras: .venv/installed tests/extras.lock
	$(INSTALL) $(BACKEND) -r tests/extras.lock
	touch $@

test-extras: .venv/extras ## run the tests of several processes, launchers, W&B, MLflow and the wheel
	$(BIN)/python -m pytest -n 2 -m extras

test-slow: .venv/extras ## run the long tests that have a shorter one of their kind
	$(BIN)/python -m pytest -n 2 -m "slow and not extras"

# Ray's launcher needs older versions of what others need, so it has an environment of its own
.venv/ray/installed: pyproject.toml tests/ray.lock | .venv/bin/uv
	$(PYTHON) -m venv .venv/ray
	$(BIN)/uv pip install --quiet --python .venv/ray/bin/python $(BACKEND) -r tests/ray.lock
	$(BIN)/uv pip install --quiet --python .venv/ray/bin/python --no-deps -e .
	touch $@

test-ray: .venv/ray/installed ## run the test of Ray's launcher
	.venv/ray/bin/python -m pytest -q tests/sweeps/test_launchers.py -k ray

lint: install ## check format, style and the types of the public functions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/docs: .venv/installed docs/requirements.lock
	$(INSTALL) $(BACKEND) -r docs/requirements.lock
	touch $@

docs: .venv/docs ## build the site in docs/_build; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -n -q -d docs/_build/doctrees docs docs/_build/html

results: install ## write the pages in docs/ that are made of records and configs anew
	$(BIN)/python docs/write_pages.py

notebook: .venv/docs ## run docs/tutorial/notebook.ipynb and keep what it printed
	$(BIN)/jupyter execute --inplace docs/tutorial/notebook.ipynb

lock: install ## write all locks anew (what torch itself pins for each GPU stays out)
	$(COMPILE) --extra test | $(NO_GPU) > requirements.lock
	$(COMPILE) --extra test-extras --constraints requirements.lock \
		| $(NO_GPU) | $(NEW) > tests/extras.lock
	grep -vE '^(joblib|cloudpickle|python-dateutil)==' requirements.lock > .venv/constraints
	$(COMPILE) --extra test-ray --constraints .venv/constraints | $(NO_GPU) > tests/ray.lock
	$(COMPILE) --extra docs --constraints requirements.lock \
		| $(NO_GPU) | $(NEW) > docs/requirements.lock
