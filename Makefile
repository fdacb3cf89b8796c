# Everything here works on a fresh clone: each target makes what it needs first.

installed := node_modules/.package-lock.json
built := dist/index.js
sources := $(shell find src web -type f 2>/dev/null) tsconfig.json

.PHONY: install build run test lint fuzz clean

install: $(installed)
build: $(built)

# npm writes this file when it is done.
$(installed): package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

$(built): $(installed) $(sources)
	npm run --silent build
	@touch $@

# Generates a mini-web of mathematics, trains a base and a reference model, scores, selects, trains on all tokens and on
# selected ones, and shows how they compare.
run: $(built)
	node dist/cli/main.js quickstart

test: $(built)
	npx vitest run
	python/test.sh

# While at work: FILES are tests or parts of their names, or sources, for the tests that import them (CONTRIBUTING.md).
.PHONY: test-fast
test-fast: $(built)
	node scripts/test-fast.mjs $(FILES)

# Kills, frozen and cut-off processes, a Redis that dies: minutes to an hour, with redis-server and, for networks, root.
# FAULTS adds flags, as in FAULTS='--kills 30 --only kills,redis'.
.PHONY: test-faults
test-faults: $(built)
	node bench/faults/main.mjs $(FAULTS)

# Everything that is asked of a card, in one command: bench/gpu/README.md. PYTHON names an interpreter with torch and
# transformers; GPU_ARGS adds flags, as in GPU_ARGS='--device cpu --tiny'.
PYTHON ?= python3
.PHONY: bench-gpu
bench-gpu: $(built)
	node bench/gpu/run.mjs --python $(PYTHON) $(GPU_ARGS)

lint: $(built)
	npm run --silent lint
	npm run --silent typecheck

clean:
	rm -rf dist runs/quickstart

# Hostile input, made from a seed, for an hour: docs/hostile-input.md. FUZZ_SECONDS=60 FUZZ_SEED=2 for less and for other inputs.
FUZZ_SECONDS ?= 3600
FUZZ_SEED ?= 1
fuzz: $(built)
	node fuzz/run.mjs --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --log runs/fuzz.jsonl
