# Needs Python 3.11 or newer with pip, and make; everything else goes into .venv.
# TORCH=cpu (or cu126, ...) picks the PyTorch build: it is passed on as uv's --torch-backend.
PYTHON ?= python3
BIN := .venv/bin
TORCH ?=
BACKEND := $(if $(TORCH),--torch-backend $(TORCH))

.DEFAULT_GOAL := help
.PHONY: help install train test lint lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

install: .venv/installed ## make .venv with the pinned versions

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(BACKEND) \
		-r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

train: install ## train Ghost-ResNet-56 on handwritten digits
	$(BIN)/python train.py model=ghost_resnet56 sched=cosine

test: install ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: install ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

lock: install ## write requirements.lock anew (what torch itself pins for each GPU stays out)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test \
		--no-emit-index-url --no-annotate --no-header pyproject.toml \
		| grep -Ev '^(nvidia-|cuda-|triton)' > requirements.lock
