# Two commands are enough to begin with: `make demo` and `make test`. `make help` lists the rest.

SWIFT ?= swift
FUZZ_SECONDS ?= 60
RELEASE_FLAGS = -c release --static-swift-stdlib

.PHONY: help deps build release demo test check format format-check vectors payload-hashes fuzz fuzz-smoke bench purity simulate validate soak clean

help: ## This list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

deps: ## Install the system libraries that are missing.
	@.ci/install-libraries

build: deps ## Debug build of everything, tests included. Warnings are errors.
	$(SWIFT) build --build-tests

release: deps ## The programs, optimised and static: .build/release/millrace.
	$(SWIFT) build $(RELEASE_FLAGS) --product millrace

demo: release ## The main job: sequencer, relays and replicas behind impaired links, 100,000 TPS, a verdict.
	.build/release/millrace demo

# The programs' tests run real processes on two cores and a clock: nothing else runs beside them.
test: build ## All tests.
	$(SWIFT) test --skip-build --skip Programs
	$(SWIFT) test --skip-build --filter Programs

check: format-check test purity payload-hashes fuzz-smoke simulate ## What CI runs.

format: ## Rewrite the sources in the house format.
	$(SWIFT) format --in-place --parallel --recursive Package.swift Sources Tests

format-check: ## Fail when a file is not in the house format.
	$(SWIFT) format lint --strict --parallel --recursive Package.swift Sources Tests

vectors: build ## Write the test vectors of Protocol-Spec anew; a diff means that a format changed.
	MILLRACE_WRITE_VECTORS=1 $(SWIFT) test --skip-build --filter '[Vv]ector'
	git diff --exit-code Protocol-Spec/vectors

payload-hashes: release ## The release build makes the payloads whose hashes the vectors give (tests ask the debug build).
	.ci/payload-hashes .build/release/millrace

purity: build ## Prove that the sans-IO core links no clock, socket, thread, Foundation or system randomness.
	Tests/Tidy/purity .build/debug

fuzz: deps ## Run every fuzz target for FUZZ_SECONDS (60) each.
	Tests/Fuzz/run $(FUZZ_SECONDS)

fuzz-smoke: deps ## Every fuzz target for a few seconds, and the canary that must fail.
	Tests/Fuzz/run 5

bench: deps ## The benchmarks: every row beside its peer or limit from the same run.
	$(SWIFT) build $(RELEASE_FLAGS) --product millrace-bench
	.build/release/millrace-bench all

soak: release ## Real processes for ten minutes, relays killed all the time: everyone in step, memory flat? (tbf with root)
	Tests/Validate/soak --binary .build/release/millrace --seconds 600 --tps 1000

validate: release ## The links beside closed forms, and the simulator beside real processes in network namespaces (root).
	.build/release/millrace measure links
	Tests/Validate/network --binary .build/release/millrace

simulate: release ## Every scenario of Simulations/, the seeds that once failed, and two hundred seeds of the swarm.
	.ci/simulations .build/release/millrace

clean: ## Forget the build.
	rm -rf .build
