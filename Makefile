# make demo      see it work: real Envoys, real mTLS, real decisions; KEEP=1 leaves it up
# make test      every test, on the real thing
# make test-pkcs11  keys in a token, on SoftHSM (installed if missing)
# make envoy-minors  what Envoy sees of us, on the minors before the one that all else is tested on
# make vectors   the test data of others (VECTORS names the folder): Cedar's own answers must be ours
# make bench     what it costs, each figure beside its limit
# make instructions  how many instructions a decision takes, against the committed baseline (valgrind)
# make load      side by side with others under load, for an hour; writes docs/performance.md
# make load-quick  the same in some two minutes, without what others have written; writes nothing
# make interop   real SPIFFE clients (SPIRE's command lines, go-spiffe, py-spiffe, rust-spiffe, ...); needs Go, Node and Python
# make fuzz-api  schemathesis against the documents of docs/openapi: no fault, nothing undocumented; needs Python
# make check     what CI checks before it tests: format, lints, docs
CARGO ?= cargo
ENVOY_VERSION := 1.40.0
# The four minors before. 1.36 has no on-demand selector of certificates.
ENVOY_MINORS := 1.36.4 1.37.0 1.38.3 1.39.3
ENVOY_HOME := target/envoy-$(ENVOY_VERSION)
export ENVOY ?= $(CURDIR)/$(ENVOY_HOME)/envoy
KEEP ?=
PORTCULLIS ?= target/release/portcullis
# Words of the names of the interop cases to run; none runs all.
CASES ?=
VECTORS ?= ../shared/vectors
# What load is put on: `dev` shows that all works, without a release build.
LOAD_PROFILE ?= release
LOAD_BIN = $(or $(CARGO_TARGET_DIR),target)/$(patsubst dev,debug,$(LOAD_PROFILE))

.PHONY: bench demo envoy-minors fuzz-api instructions instructions-baseline load load-programs load-quick test test-pkcs11 vectors interop interop-tools check fmt clippy doc deny envoy postgres clean help

help:
	@sed -n 's/^# make /make /p' Makefile

demo: envoy
	$(CARGO) build --release --bin portcullis
	python3 examples/quickstart/demo.py --portcullis target/release/portcullis --envoy $(ENVOY) $(if $(KEEP),--keep)
	$(if $(KEEP),,python3 examples/agent-delegation/demo.py --portcullis target/release/portcullis --envoy $(ENVOY))

test: envoy postgres
	$(CARGO) test --workspace

test-pkcs11:
	tests/tools/softhsm.sh $(CARGO) test --workspace --lib --features pkcs11 custody::token -- --ignored --test-threads 1

envoy-minors: $(ENVOY_MINORS:%=target/envoy-%/envoy)
	@for version in $(ENVOY_MINORS); do \
	  echo "== Envoy $$version"; \
	  ENVOY=$(CURDIR)/target/envoy-$$version/envoy $(CARGO) test --workspace --test it -- \
	    mtls:: sds_envoy:: sds_revocation:: rotation:: revocation:: tcp:: \
	    $$(case $$version in 1.36.*) echo --skip on_demand;; esac) || exit 1; \
	done

$(ENVOY_MINORS:%=target/envoy-%/envoy): target/envoy-%/envoy:
	envoy/install.sh $* target/envoy-$*

vectors: envoy
	@test -d "$(VECTORS)" || { echo "no vectors at $(VECTORS): set VECTORS to the folder that has cedar-corpus.tar.gz" >&2; exit 1; }
	VECTORS="$(abspath $(VECTORS))" $(CARGO) test --workspace --test it vectors -- --ignored --nocapture

bench:
	$(CARGO) bench --bench identity
	$(CARGO) bench --bench entities
	$(CARGO) bench --bench checks
	$(CARGO) bench -p portcullis-tlog --bench append
	$(CARGO) bench --bench mapping
	$(CARGO) bench --bench search
	$(CARGO) bench --bench audit

instructions:
	@tests/tools/install-valgrind.sh
	$(CARGO) bench --bench instructions

# make instructions-baseline  takes down the present numbers as the baseline
instructions-baseline:
	@tests/tools/install-valgrind.sh
	$(CARGO) bench --bench instructions -- --save

load: envoy load-programs
	python3 load-tests/run.py --bin $(LOAD_BIN) --envoy $(ENVOY) --docs

load-quick: envoy load-programs
	python3 load-tests/run.py --bin $(LOAD_BIN) --envoy $(ENVOY) --quick

# In the dev profile with the features that `make test` has built already.
load-programs:
	$(CARGO) build --profile $(LOAD_PROFILE) --bins \
	  $(if $(filter dev,$(LOAD_PROFILE)),--workspace --tests,-p portcullis -p portcullis-load-tests)

interop: envoy
	$(CARGO) build --release --bin portcullis
	python3 tests/interop/run.py --portcullis $(PORTCULLIS) $(CASES)

# make interop-tools  only builds the clients, into ~/.cache/portcullis/interop
interop-tools: envoy
	python3 tests/interop/run.py --install --portcullis $(PORTCULLIS)

fuzz-api:
	$(CARGO) build --release --bin portcullis
	python3 tests/schemathesis/run.py --portcullis $(PORTCULLIS)

check: fmt clippy doc

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

# make deny      licences and bans; needs `cargo install cargo-deny`
deny:
	$(CARGO) deny --all-features check bans licenses sources

envoy: $(ENVOY_HOME)/envoy

$(ENVOY_HOME)/envoy:
	envoy/install.sh $(ENVOY_VERSION) $(ENVOY_HOME)

postgres:
	@tests/tools/install-postgres.sh

clean:
	$(CARGO) clean
