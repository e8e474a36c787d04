# make demo   install what compressing takes, then compress and decompress a real text
# make test   install everything that the tests take, then run them
# make lint   ruff and mypy          make bench   sizes and speeds
# make sanitize   the native code's own tests under AddressSanitizer and UndefinedBehaviorSanitizer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LIGHT := $(VENV)/.light
READY := $(VENV)/.ready
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(shell find native -type f)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable

.PHONY: demo test lint bench sanitize setup clean

setup: $(READY)

$(LIGHT): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(READY): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	touch $(LIGHT) $@

demo: $(LIGHT)
	$(BIN)/python benchmarks/demo.py

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/sizes.py
	$(BIN)/python benchmarks/speed.py

sanitize:
	cmake -S . -B build/sanitize -DLMZIP_TESTS=ON -DCMAKE_BUILD_TYPE=Debug \
	    "-DLMZIP_TEST_FLAGS=-O1;-g;-fsanitize=address,undefined;-fno-sanitize-recover=all"
	cmake --build build/sanitize --parallel 2
	build/sanitize/kernels_test
	build/sanitize/coding_test
	build/sanitize/range_coder_test

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
