# `make test` is what CI runs.

CARGO ?= cargo
# Cargo.lock says which versions.
LOCKED = --locked

# What `make chaos` is told: how long things go wrong, by which seed (without one a random one, which it prints),
# where jobs wait (beanstalkd, embedded), and which kinds of faults are left out (a,b).
SECONDS ?= 60
SEED ?=
BROKER ?= beanstalkd
SKIP ?=
# And `make bench`: all parts, or some (drain,put), which are then only printed; and less of everything.
PARTS ?=
QUICK ?=
# And `make fuzz`: how many cases of each property.
CASES ?= 100000

# Where `make install` puts things; DESTDIR is for those who make packages.
PREFIX ?= /usr/local
DESTDIR ?=
BUILT = target/release/taskqueue
SHARE = $(DESTDIR)$(PREFIX)/share

.DEFAULT_GOAL := help
.PHONY: help demo build install uninstall bench simulate test lint man prepare fmt clippy deny doc roff tests chaos chaos-short fuzz
# Cargo locks the target directory: side by side they would only wait for each other.
.NOTPARALLEL:

help:
	@echo 'make demo    build it and see it at work, without a server'
	@echo 'make build   build target/release/taskqueue'
	@echo 'make install put what was built into PREFIX, /usr/local: program, manual, completions (DESTDIR)'
	@echo 'make test    install what the tests need, check everything, run every test'
	@echo 'make chaos   break everything for a minute, then account for every task (SECONDS SEED BROKER SKIP)'
	@echo 'make fuzz    try what reads bodies, replies and lines with many more bytes than the tests do (CASES)'
	@echo 'make simulate  tend a thousand pools through a day in made-up time (SEED)'
	@echo 'make bench   measure what a job costs, and write benches/RESULTS.md; with QUICK=1 less exactly (PARTS)'
	@echo 'make lint    formatting, lints, licences, documentation; no tests'
	@echo 'make man     write man/taskqueue.1 anew, from the command line itself'

demo:
	$(CARGO) run --release $(LOCKED) -- demo

build:
	$(CARGO) build --release $(LOCKED)

# Builds nothing: root, who installs, need not have a compiler, nor leave files of root's in target/.
install:
	@test -x $(BUILT) || { echo 'install: there is no $(BUILT) yet: make build first, without sudo' >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man7 \
		$(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 755 $(BUILT) $(DESTDIR)$(PREFIX)/bin/taskqueue
	install -m 644 man/taskqueue.1 $(SHARE)/man/man1/
	install -m 644 man/taskqueue.toml.5 $(SHARE)/man/man5/
	install -m 644 man/taskqueue-payload.7 $(SHARE)/man/man7/
	$(BUILT) completions bash > $(SHARE)/bash-completion/completions/taskqueue
	$(BUILT) completions zsh > $(SHARE)/zsh/site-functions/_taskqueue
	$(BUILT) completions fish > $(SHARE)/fish/vendor_completions.d/taskqueue.fish

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/taskqueue $(SHARE)/man/man1/taskqueue.1 $(SHARE)/man/man5/taskqueue.toml.5 \
		$(SHARE)/man/man7/taskqueue-payload.7 $(SHARE)/bash-completion/completions/taskqueue \
		$(SHARE)/zsh/site-functions/_taskqueue $(SHARE)/fish/vendor_completions.d/taskqueue.fish

# A quick run writes nothing, nor does one of some parts.
bench:
	@command -v beanstalkd >/dev/null 2>&1 || sh tests/prepare.sh
	$(CARGO) build --release $(LOCKED) --example mark
	$(CARGO) bench $(LOCKED) --bench whole -- \
		$(if $(QUICK),--quick) $(if $(PARTS),--only $(PARTS)) $(if $(QUICK)$(PARTS),,--write benches)

simulate:
	SEED=$(SEED) $(CARGO) test --release $(LOCKED) --test simulation -- --include-ignored --nocapture --test-threads 1

test: prepare lint tests chaos-short

lint: fmt clippy deny doc roff

prepare:
	@sh tests/prepare.sh

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --all-targets $(LOCKED) -- -D warnings
	$(CARGO) clippy --no-default-features --lib $(LOCKED) -- -D warnings

# Advisories need a database from the network. Where it cannot be fetched, that is no failure.
deny:
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo 'deny: cargo-deny is not installed; bans, licences, sources and advisories were not checked'; \
	else \
		$(CARGO) deny check --hide-inclusion-graph bans licenses sources || exit 1; \
		if $(CARGO) deny fetch db >/dev/null 2>&1; then \
			$(CARGO) deny --offline check advisories; \
		else \
			echo 'deny: the database of advisories cannot be reached; they were not checked'; \
		fi; \
	fi

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps $(LOCKED)

roff:
	@if ! command -v groff >/dev/null 2>&1; then \
		echo 'roff: groff is not installed; the manual pages were not checked for warnings'; \
	else \
		for page in man/*.[1-8]; do \
			said=$$(groff -man -Tutf8 -K utf8 -ww -z "$$page" 2>&1); \
			[ -z "$$said" ] || { echo "$$said"; exit 1; }; \
		done; \
	fi

# nextest runs no documentation tests, and shows nothing of what a test prints that passes. By the same seeds every time:
# who wants others runs `make fuzz`, `make chaos`, or a test by itself.
tests: export PROPTEST_RNG_SEED = 1
tests: export SEED = 1
tests:
	@command -v php >/dev/null 2>&1 || echo 'tests: php is not installed; what PHP puts was not tested'
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run $(LOCKED) && $(CARGO) test --doc $(LOCKED); \
	else \
		set -x; $(CARGO) test $(LOCKED); \
	fi

chaos: prepare
	$(CARGO) test --release $(LOCKED) --test chaos -- --seconds $(SECONDS) --broker $(BROKER) \
		$(if $(SEED),--seed $(SEED)) $(if $(SKIP),--skip $(SKIP))

# The properties that the tests try a few hundred times, on whatever reads what others wrote.
fuzz:
	PROPTEST_CASES=$(CASES) $(CARGO) test --release $(LOCKED) --lib --test it -- fuzz:: payload:: wire:: link:: report::

# By seeds that stay the same, so that what fails fails for a change, and with what the tests have built already. Random
# ones are for people: make chaos.
chaos-short:
	$(CARGO) test $(LOCKED) --test chaos -- --seconds 60 --seed 1
	$(CARGO) test $(LOCKED) --test chaos -- --seconds 30 --seed 2 --broker embedded

# Written beside and moved, so that a build that fails leaves the old page.
man:
	$(CARGO) run --quiet $(LOCKED) -- man-page > man/taskqueue.1.new
	mv man/taskqueue.1.new man/taskqueue.1
