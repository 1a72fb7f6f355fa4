# Plenum. `make run` and `make test` work on a bare machine; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run stop status logs build host portal plugins plugins-all test test-rust test-scripts test-portal lint fmt bench openapi clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Build everything, start the host on 127.0.0.1:8080 and an agent on this machine
	@make/run.sh

stop: ## Stop the host and the agent that `make run` started
	@make/stop.sh

status: ## Say whether the host and the agent run
	@make/stop.sh --status

logs: ## Follow the logs of the host and the agent
	@tail -n 50 -F data/host.log data/agent.log

build: ## Build host, agent, portal and first-party plugins
	@make/build.sh

host: ## Build the host and the agent only
	@make/build.sh host

portal: ## Build the portal only
	@make/build.sh portal

plugins: ## Build, pack and sign the first-party plugins in Rust
	@make/build.sh plugins

plugins-all: ## Those in Python and JavaScript too (installs their tools, 140 MB, below ~/.cache/plenum)
	@make/build.sh plugins-all

test: ## Run every test: portal, Rust, end to end in a browser
	@make/test.sh

test-rust: ## Run the Rust tests only
	@make/test.sh rust

test-scripts: ## Run the tests of the SDKs and plugins in Python and JavaScript only
	@make/test.sh scripts

test-portal: ## Run the portal's tests only
	@make/test.sh portal

lint: ## Formatting, clippy, ESLint, types, API reference, licences
	@make/lint.sh

fmt: ## Format the Rust code
	@cargo fmt --all

bench: ## Measure and print figures (release build)
	@make/bench.sh

openapi: ## Write docs/openapi.json and docs/api-reference.md from the code
	@make/openapi.sh

clean: ## Remove build output (keeps ./data)
	@cargo clean; rm -rf frontend/dist frontend/node_modules plugins/*/target plugins/*/dist
