.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

CARGO_OUT := $(or $(CARGO_TARGET_DIR),target)
WASM := target/portcullis.wasm
VERSION := $(shell sed -n '0,/^version = /s/^version = "\(.*\)"/\1/p' Cargo.toml)

# What the demo and the tests are told: the module, Envoy's binary, and where Python finds its packages.
export PORTCULLIS_WASM := $(CURDIR)/$(WASM)
export ENVOY := $(CURDIR)/target/python/envoy/_bin/envoy
# What the tests in Envoy hold the module's decisions against.
export PORTCULLIS := $(abspath $(CARGO_OUT))/debug/portcullis
PYTHON := PYTHONPATH=$(CURDIR)/target/python PYTHONDONTWRITEBYTECODE=1 python3
# A test that hangs fails with the stack of each of its threads, instead of keeping everything waiting.
PYTEST := $(PYTHON) -m pytest -p no:cacheprovider -ra --timeout 600

.PHONY: help
help: ## Lists what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What a module may be built without, each a feature of src/host/Cargo.toml.
FEATURES ?= everything

# Cargo decides whether there is anything to build; the copy keeps its time when the bytes are the same.
.PHONY: build
build: ## Builds the module as target/portcullis.wasm: all of it, or FEATURES="schema encryption" of what can be left out
	@.ci/module "$(FEATURES)" $(WASM)

.PHONY: lean
lean: ## Builds the module without all that can be left out, as target/portcullis-lean.wasm
	@.ci/module "" target/portcullis-lean.wasm

.PHONY: envoy
envoy: ## Gets Envoy and the Python packages of the tests, under target/python
	@.ci/python

.PHONY: demo
demo: build envoy ## Sends real requests of every kind through Envoy and says what became of each
	@echo "demo: Envoy with the module, an upstream, and requests of every kind"
	@$(PYTHON) envoy/demo/demo.py

.PHONY: run
run: build envoy ## Keeps the demo running in the foreground, with curl lines to copy
	@echo "run: the demo's Envoy and upstream; Ctrl-C ends them"
	@$(PYTHON) envoy/demo/demo.py --serve

.PHONY: demo-container
demo-container: build envoy ## Runs the demo with Envoy in a container: not root, nothing writable (podman or docker)
	@$(PYTHON) envoy/demo/demo.py --container

.PHONY: test
test: test-native test-envoy ## Runs every test: native, the module in an interpreter, real Envoy

# nextest runs everything but the examples in the documentation.
.PHONY: test-native
test-native: export JSON_SCHEMA_SUITE := $(CURDIR)/target/json-schema
test-native: build ## Runs the tests of the core and of the module in an interpreter
	@.ci/json-schema-suite
	@echo "test-native: the core, the tool, and the module in an interpreter"
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --no-tests=pass && cargo test --doc; else cargo test; fi

.PHONY: test-envoy
test-envoy: build envoy ## Runs the tests in real Envoy
	@.ci/ratelimit
	@.ci/redis
	@.ci/prometheus
	@.ci/registry
	@cargo build --quiet --bin portcullis
	@echo "test-envoy: the module in real Envoy"
	@$(PYTEST) tests/envoy -m 'not alone' -n 3 --dist loadfile
	@$(PYTEST) tests/envoy -m alone

.PHONY: dashboard
dashboard: build envoy ## Plays the attack of the tests and draws what the dashboard shows of it, as docs/dashboard.svg
	@.ci/prometheus
	@DASHBOARD=$(CURDIR)/docs/dashboard.svg $(PYTEST) tests/envoy/test_attack.py

.PHONY: interop
interop: build envoy ## Holds the module in real Envoy against programs from PyPI, npm and Debian
	@.ci/interop
	@echo "interop: an OpenID provider, AWS Secrets Manager, Django services, OpenSSL and Chromium, with the module in real Envoy"
	@INTEROP=$(CURDIR)/target/interop $(PYTEST) tests/interop

MINUTES ?= 10
.PHONY: soak
soak: build envoy ## Loads the module for MINUTES=... with requests of every kind, each accounted for, and the tables with ten million addresses
	@echo "soak: ten million addresses at the tables of limits and of blocks, natively"
	@FLOOD_ADDRESSES=10000000 cargo test --quiet --profile soak --test pipeline floods:: -- --nocapture
	@echo "soak: requests of every kind through Envoy for $(MINUTES) min"
	@$(PYTHON) tests/soak/soak.py --minutes $(MINUTES)

.PHONY: corpus
corpus: ## Scores `portcullis scan` on labelled files: CORPUS=DIR
	@[ -n "$(CORPUS)" ] || { echo "corpus: give CORPUS=DIR, a directory of CLASS.jsonl files"; exit 2; }
	@echo "corpus: portcullis scan on $(CORPUS)"
	@cargo build --release --bin portcullis
	@.ci/corpus $(CARGO_OUT)/release/portcullis "$(CORPUS)"

.PHONY: fuzz
fuzz: ## Fuzzes decoders, tokenisers and parsers: MINUTES=N for each target, TARGET=NAME for one (a C++ compiler is needed)
	@.ci/fuzz "$(or $(MINUTES),5)" "$(TARGET)"

.PHONY: bench
bench: build lean envoy ## Measures CPU time beside Envoy's own filters: a table, and target/bench.json
	@echo "bench: Portcullis beside Envoy's own filters, on loopback"
	@$(PYTHON) benches/bench.py $(BENCH)

.PHONY: bench-counted
bench-counted: build envoy ## Counts the instructions of a request in Envoy under valgrind (Debian's): a table, and target/counted.json
	@$(PYTHON) benches/counted.py $(BENCH)

FIGURES ?= benches/figures.json
.PHONY: bench-plots
bench-plots: ## Draws how cost grows, as docs/cost-*.svg: from FIGURES=target/bench.json, or the figures that are published
	@$(PYTHON) benches/plots.py $(FIGURES) docs

.PHONY: image
image: build ## Packs the module as OCI images (compat and artifact) with its SBOM, under target/image
	@.ci/image $(WASM) $(VERSION) target/image
	@.ci/sbom $(WASM) target/image/sbom.cdx.json "$(FEATURES)"

.PHONY: reproduce
reproduce: build ## Builds the module again from a clone in another place: the same bytes
	@.ci/reproduce $(WASM)

REFERENCE = $(if $(findstring :,$(notdir $(REGISTRY))),$(REGISTRY),$(REGISTRY):$(VERSION))
.PHONY: push
push: image ## Pushes both images, NAME:TAG and NAME:TAG-artifact: REGISTRY=HOST[:PORT]/NAME[:TAG]
	@[ -n "$(REGISTRY)" ] || { echo "push: give REGISTRY=HOST[:PORT]/NAME[:TAG]"; exit 2; }
	@.ci/push target/image/compat $(REFERENCE) target/image/artifact $(REFERENCE)-artifact
	@.ci/attach target/image/sbom.cdx.json target/image/compat $(REFERENCE) target/image/artifact $(REFERENCE)-artifact

.PHONY: sign
sign: image ## Signs the pushed images with a key, as cosign does: KEY=FILE REGISTRY=HOST[:PORT]/NAME[:TAG]
	@[ -n "$(REGISTRY)" ] && [ -n "$(KEY)" ] || { echo "sign: give KEY=FILE and REGISTRY=HOST[:PORT]/NAME[:TAG]"; exit 2; }
	@.ci/sign "$(KEY)" target/image/compat $(REFERENCE) target/image/artifact $(REFERENCE)-artifact

.PHONY: manifests
manifests: image ## Writes the manifests with pinned images to target/manifests: REGISTRY=HOST[:PORT]/NAME [ENVOY_IMAGE=NAME@sha256:DIGEST]
	@[ -n "$(REGISTRY)" ] || { echo "manifests: give REGISTRY=HOST[:PORT]/NAME"; exit 2; }
	@.ci/stamp target/image/compat $(VERSION) $(REGISTRY) "$(ENVOY_IMAGE)" target/manifests

.PHONY: check
check: envoy ## Checks format, lints, documentation, licences, sources, secrets and manifests (against CRDS=DIR where given)
	@echo "check: format"
	@cargo fmt --check
	@echo "check: lints, native"
	@cargo clippy --quiet --all-targets -- -D warnings
	@echo "check: lints, module"
	@.ci/cargo-wasm clippy --quiet --package portcullis-module --no-default-features --features everything -- -D warnings
	@echo "check: lints, lean module"
	@.ci/cargo-wasm clippy --quiet --package portcullis-module --no-default-features -- -D warnings
	@echo "check: documentation"
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
	@echo "check: dependencies"
	@.ci/dependencies
	@echo "check: words"
	@.ci/words
	@echo "check: manifests"
	@.ci/policies
	@.ci/python .ci/kubernetes/requirements.txt target/kubernetes
	@$(PYTHON) .ci/manifests "$(CRDS)"
	@.ci/prometheus
	@echo "check: alerts"
	@cd envoy/monitoring && $(CURDIR)/target/prometheus/usr/bin/promtool check rules rules.yaml && \
		$(CURDIR)/target/prometheus/usr/bin/promtool check config prometheus.yaml && \
		$(CURDIR)/target/prometheus/usr/bin/promtool test rules rules_test.yaml
