.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help
help:  ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

.PHONY: setup
setup:  ## make .venv from the locked requirements and install missing test servers; idempotent
	@scripts/setup

.PHONY: demo
demo: setup  ## run the main job on the embedded default and show all that comes of it
	@$(BIN)/python examples/demo.py

.PHONY: run
run: setup  ## serve on http://127.0.0.1:8000 with the embedded default, data in ./data
	@$(BIN)/ansible-api up --data ./data

.PHONY: test
test: setup  ## all tests, on real servers that they start themselves
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: compose
compose: setup  ## the image and compose.yaml, on a Docker engine that the test starts itself
	@NEEDS="dockerd:docker.io iptables:iptables mmdebstrap:mmdebstrap slirp4netns:slirp4netns" scripts/setup
	@$(BIN)/python -m pytest -m engine tests/integration/test_docker_engine.py tests/acceptance/test_compose.py $(ARGS)

.PHONY: pictures
pictures: setup  ## the pictures of Flower in docs/operating.md, taken in Chromium
	@NEEDS="chromium:chromium" scripts/setup
	@PYTHONPATH=. $(BIN)/python scripts/flower_pictures.py

.PHONY: check
check: setup  ## formatting, lint, types, import contract
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: bench
bench: setup  ## measure what docs/performance.md claims
	@$(BIN)/python -m bench

.PHONY: faults
faults: setup  ## kill, stop, empty, cut off and fill up every part under load; the table of docs/reliability.md
	@$(BIN)/python -m tests.faults $(ARGS)

EXPORT := uv export --quiet --no-emit-project --format requirements-txt --no-annotate --no-header
.PHONY: lock
lock:  ## renew requirements.txt and requirements-image.txt from pyproject.toml (needs uv)
	@$(EXPORT) --all-extras --output-file requirements.txt
	@$(EXPORT) --extra embedded --output-file requirements-image.txt
