.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

CARGO_OUT := $(or $(CARGO_TARGET_DIR),target)
WASM := target/portcullis.wasm

.PHONY: help
help: ## Lists what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Cargo decides whether there is anything to build; the copy keeps its time when the bytes are the same.
.PHONY: build
build: ## Builds the module as target/portcullis.wasm
	@echo "build: the module for wasm32-wasip1"
	@.ci/cargo-wasm build --release --lib --no-default-features
	@mkdir -p target
	@cmp -s $(CARGO_OUT)/wasm32-wasip1/release/portcullis.wasm $(WASM) || cp $(CARGO_OUT)/wasm32-wasip1/release/portcullis.wasm $(WASM)
	@echo "build: $(WASM), $$(stat -c %s $(WASM)) bytes, sha256 $$(sha256sum $(WASM) | cut -d' ' -f1)"
