# Every target makes the environment that it needs. Plain `make` says what there is.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
READY := .venv/ready
DRAWS := .venv/draws
REQUIREMENTS := deploy/requirements
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header

COMPOSE := docker compose --file deploy/compose.yaml $(foreach name,$(PROFILE),--profile $(name))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
ENVIRONMENT := .run/environment
FILE ?= contracts/examples/send/booking-created.json
.PHONY: help run send up down logs demo test test-servers test-fast bench check format requirements clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## Start Kafka, Postgres and the service, and play a demonstration (ONCE=1: end after it)
	@PYTHONPATH=deploy $(BIN)/python -m local run $(if $(ONCE),--once)

send: $(READY) ## Send an event to what make run has started (FILE=event.json)
	@test -f $(ENVIRONMENT) || { echo "Nothing runs here: make run first." >&2; exit 1; }
	@. ./$(ENVIRONMENT) && $(BIN)/booking-credits send $(FILE)

up: ## Start everything in containers (PROFILE=observability: Prometheus and Grafana too)
	$(COMPOSE) build --quiet worker
	$(COMPOSE) up --detach --wait

down: ## Remove these containers with all that they keep
	$(COMPOSE) --profile '*' down --volumes --remove-orphans

logs: ## Follow what the containers say
	$(COMPOSE) --profile '*' logs --follow --tail 100

demo: ## Play the demonstration's day in containers, once after each make up
	$(COMPOSE) run --rm demo

test: $(READY) ## Run every test, those on a real Kafka and a real Postgres beside the others
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-fast test-servers

test-servers: $(READY) ## Run the tests that start servers, a real Kafka and a real Postgres
	$(BIN)/python -m pytest -m slow --numprocesses=2 --dist=loadfile

test-fast: $(READY) ## Run the tests that start no server
	$(BIN)/python -m pytest -m "not slow"

bench: $(DRAWS) ## Measure on real servers (QUICK=1: less; SAVE=1: keep it; PROFILE=1: where time goes)
	@PYTHONPATH=deploy:tests $(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(SAVE),--save) \
		$(if $(PROFILE),--profile)

check: $(READY) ## Check format, style, types, the layers of the code, and for dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(READY) ## Format the code and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

requirements: ## Pin the newest requirements again (needs uv)
	@for name in run dev bench build; do \
		file=$(REQUIREMENTS)/$$name; \
		echo "# Compiled from $$name.in by make requirements: do not edit." > $$file.new \
		&& $(COMPILE) $$file.in >> $$file.new && mv $$file.new $$file.txt \
		|| { rm -f $$file.new; exit 1; }; \
	done

clean: ## Remove the environment and whatever was built
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The requirements are pinned with hashes; pip refuses to mix those with our own two packages,
# which have none, so these follow in a step of their own.
$(READY): $(REQUIREMENTS)/dev.txt pyproject.toml contracts/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r $(REQUIREMENTS)/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e contracts -e .
	@touch $@

# Only the benchmark draws.
$(DRAWS): $(READY) $(REQUIREMENTS)/bench.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r $(REQUIREMENTS)/bench.txt
	@touch $@
