# Everything goes through cargo; this file only remembers the words. `make` alone prints them.

CARGO  ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup build test test-others demo matrix real bench start node nodes translation pause rehearse run dist test-fresh look editors sweep mcp fuzz grammar fmt lint deny doc book

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install Erlang, Elixir and rebar3 when they are missing (Debian packages)
	@sh scripts/setup.sh

build: ## the release binary
	$(CARGO) build --release --locked

# Most tests wait for nodes: more of them at a time than processors.
test: setup ## all tests; starts real nodes on 127.0.0.1
	RUST_TEST_THREADS="$${RUST_TEST_THREADS:-$$(n=$$(nproc); echo $$((n > 2 ? 2 * n : 4)))}" $(CARGO) test --locked
	@if [ -e tests/agent/run.sh ]; then sh tests/agent/run.sh; fi

test-others: setup ## the main ways of tests/upgrade on nodes of OTP 27 and 29, with Elixir 1.18 and 1.20 (fetches them once)
	@CARGO="$(CARGO)" bash scripts/matrix.sh --main

demo: setup build ## upgrade a small shop under load, with every promise checked
	@UPDO_BIN="$${UPDO_BIN:-$(abspath $(TARGET))/release/updo}" bash demo/run.sh

matrix: setup build ## the same, and tests/upgrade, on nodes of OTP 23, 27 and 29 (fetches them once)
	@sh scripts/setup.sh openssl
	@bash scripts/matrix.sh

real: setup build ## mochiweb, ejabberd and a library of Elixir of two Debian suites, upgraded under their clients (fetches them once)
	@UPDO_BIN="$${UPDO_BIN:-$(abspath $(TARGET))/release/updo}" bash scripts/real.sh

# `make bench pause` measures the pause only, and so on.
ifneq ($(filter pause node nodes rehearse run start translation,$(MAKECMDGOALS)),)
bench: ; @:
else
bench: build start node translation ## reading and analysis beside xref, and the next three; make bench pause: that only
	@sh scripts/setup.sh time python3
	@sh scripts/bench.sh "$${UPDO_BIN:-$(abspath $(TARGET))/release/updo}"
endif

start: ## starting, beside an empty process
	@$(CARGO) bench --quiet --locked --bench start

node: setup ## what looking at a node costs the node
	@$(CARGO) bench --quiet --locked --bench node_cost

translation: setup ## relup scripts, beside systools_rc (minutes: cubic in OTP)
	@sh scripts/bench_relup.sh 100 300 1000

pause: setup ## the pause that clients feel, beside OTP's release handler (minutes)
	@$(CARGO) bench --quiet --locked --bench pause

rehearse: setup ## what a rehearsal costs the calls of a node, and how good the pause is that it predicts (minutes)
	@$(CARGO) bench --quiet --locked --bench rehearse

run: setup ## whole upgrades of 50 to 5,000 modules, beside the 2012 original (minutes)
	@$(CARGO) bench --quiet --locked --bench run

nodes: setup ## one upgrade of 1 to 20 nodes in one batch, beside that of one (minutes)
	@$(CARGO) bench --quiet --locked --bench nodes

dist: ## what is needed to install updo without Rust, in target/dist: built twice and compared (minutes; needs root once)
	@CARGO="$(CARGO)" bash scripts/dist.sh --verify

test-fresh: setup ## what make dist has made, installed in a fresh Debian, with the first upgrade of the book (needs root)
	@CARGO="$(CARGO)" bash scripts/test_fresh.sh

look: build ## a report and a graph in headless Chromium, asserted on, and as pictures in target/look
	@bash scripts/look.sh "$${UPDO_BIN:-$(abspath $(TARGET))/release/updo}"

editors: setup ## Neovim, Helix and VS Code started for real with updo lsp, and the extension built (needs root, and the network once)
	@sh scripts/setup.sh tmux chromium unzip npm
	$(CARGO) build --locked
	@bash scripts/editors.sh $(abspath $(TARGET))/debug/updo

mcp: ## updo mcp, used by the Python SDK of the protocol (needs python3, and the network once)
	$(CARGO) build --locked
	@bash scripts/mcp_client.sh $(abspath $(TARGET))/debug/updo

fuzz: ## any bytes as plan, term, ETF, beam, handshake, frames, records: make fuzz SECONDS=60 for each (needs a C++ compiler)
	@CARGO="$(CARGO)" fuzz/run.sh $(or $(SECONDS),30)

grammar: ## the tree-sitter grammar, generated and tried on the plans (needs a C compiler)
	$(CARGO) test --locked --manifest-path grammar/tree-sitter/Cargo.toml

fmt: ## format the Rust sources
	$(CARGO) fmt

lint: ## formatting and clippy, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

deny: ## known advisories of the dependencies, and what tests/project holds without the network (needs cargo-deny, and GitHub)
	$(CARGO) deny --locked check --deny unnecessary-skip --deny unmatched-skip

book: ## the book of docs/ as HTML in target/book (needs mdbook: cargo install mdbook)
	mdbook build docs

doc: ## the library's documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

sweep: setup ## long tests by chance: attacks on upgrades, faults at every step, faulty conversions, against OTP (UPDO_SEED, UPDO_ATTACKS, UPDO_FAULTY, UPDO_COUNT)
	UPDO_COUNT="$${UPDO_ATTACKS:-1000}" $(CARGO) test --locked --test attack -- --nocapture --test-threads=1
	UPDO_COUNT="$${UPDO_FAULTS:-300}" $(CARGO) test --locked --test upgrade -- sweep:: random:: live_faults:: live_reversal:: --nocapture --test-threads=1
	UPDO_FAULTY="$${UPDO_FAULTY:-100}" $(CARGO) test --locked --test upgrade -- faulty:: --nocapture --test-threads=1
	UPDO_COUNT="$${UPDO_COUNT:-20000}" $(CARGO) test --locked --test twin -- --nocapture --test-threads=2
	UPDO_KILLS="$${UPDO_KILLS:-500}" sh tests/agent/run.sh kill_any_time
	UPDO_ROUNDS="$${UPDO_ROUNDS:-10}" UPDO_KILLS=50 sh tests/agent/run.sh
	UPDO_COUNT="$${UPDO_COUNT:-20000}" $(CARGO) test --locked --test fuzz -- --nocapture --test-threads=2
	UPDO_COUNT="$${UPDO_COUNT:-20000}" $(CARGO) test --locked --test relup -- --nocapture --test-threads=2
