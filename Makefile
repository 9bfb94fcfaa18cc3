# Paddock on one machine. `make help` lists the targets.
# Settings come from the environment, from .env, or from the command line: make up PADDOCK_PORT=9000
SHELL := /bin/sh
BIN := .venv/bin
CODE := app workers scheduler executor web cli
ALL_AGENTS := claude-code codex-cli opencode acp
AGENTS ?= claude-code
WITH_PORTAL := $(if $(filter 0,$(PORTAL)),,portal)
WITH_AGENTS := $(addprefix agent-,$(if $(filter all,$(AGENTS)),$(ALL_AGENTS),$(filter-out none,$(AGENTS))))
NPM = $(BIN)/python cli/install.py npm
installed = { test -x $(BIN)/python && sha256sum --check --status .venv/.stamp-$(1) 2>/dev/null; } || python3 cli/install.py $(1)

.DEFAULT_GOAL := help
.PHONY: help up down status logs runtime agents portal portal-dev portal-types dev machine test faults check bench lock hooks

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: runtime $(WITH_AGENTS) $(WITH_PORTAL) ## install, migrate, start everything, return when it is ready (AGENTS="codex-cli opencode", all or none; PORTAL=0; FOLLOW=1)
	@$(BIN)/paddock up $(if $(filter 1,$(FOLLOW)),--follow)

down: runtime ## stop everything; agents go on in their sandboxes (STOP=1 ends them too)
	@$(BIN)/paddock down $(if $(filter 1,$(STOP)),--agents)

status: runtime ## show processes, sandboxes and what /ready says
	@$(BIN)/paddock status

logs: runtime ## show the last lines of all logs (FOLLOW=1 stays with them)
	@$(BIN)/paddock logs $(if $(filter 1,$(FOLLOW)),--follow)

test: runtime agents dev machine portal ## run all tests (ARGS="tests/unit -k name" for some)
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

faults: runtime agents dev machine ## prove the promises under faults, at full length, and print their table (ROW=P4 DB=pg for one)
	@PADDOCK_FAULTS_LONG=1 $(BIN)/python -m pytest --timeout 3600 -m promise --row "$(ROW)" --engine "$(DB)" \
	  --verdicts var/faults/verdicts.json $(ARGS)

check: runtime dev portal ## lint, format, types, imports, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python .ci/sizes.py $(CODE)
	@$(NPM) run --silent lint && $(NPM) run --silent check

bench: runtime agents dev ## run the benchmarks beside their peers
	@$(BIN)/python -m bench $(ARGS)

runtime: ; @$(call installed,runtime)
dev: ; @$(call installed,dev)
portal: ; @python3 cli/install.py portal
portal-dev: portal ## serve the portal from its sources beside a running Paddock (PADDOCK_URL=http://127.0.0.1:8000)
	@$(NPM) run dev
portal-types: dev portal ## write what the portal takes from the server's code: types of the API, recorded runs
	@$(BIN)/python -m tests.support.portal
agents: $(addprefix agent-,$(ALL_AGENTS)) ## install all agents: Claude Code, Codex, OpenCode and adapters for ACP
agent-%: runtime
	@$(call installed,$*)
machine: ; @python3 cli/install.py machine

lock: dev ## pin requirements*.in and cli/agents/versions.toml again, with hashes (needs uv and npm)
	@for set in requirements requirements-dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    -o $$set.txt $$set.in || exit 1; done
	@python3 cli/lock_agents.py

hooks: ## run `make check` before each commit (needs pre-commit)
	@pre-commit install
