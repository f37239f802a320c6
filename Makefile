# SPDX-License-Identifier: GPL-3.0-or-later
# Everything happens in a virtual environment inside the checkout; needs Python 3.11 or newer, git and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= bench-out/bench.json

.PHONY: help demo test soak check texts bench clean
help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# constraints.txt pins every version, so a fresh machine gets what was tested.
.venv.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

demo: .venv.stamp  ## the whole chain on this machine: devices to statement, compared with the truth
	$(BIN)/collector demo --out demo-out

test: .venv.stamp  ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Ten to thirty minutes on two cores; the figures of each test are printed at the end.
soak: .venv.stamp  ## faults at length: 200 kills, 100 damaged buffers, 24 h in compressed time, a million frames per codec
	SOAK=1 STARTS=50 KILLS=200 DAMAGES=100 HOURS=24 FRAMES=1000000 LINK_FRAMES=500000 $(BIN)/python -m pytest -n 2 --dist worksteal -rP --show-capture=stdout -o faulthandler_timeout=0 \
		tests/crash tests/soak tests/agent/buffer/test_buffer_lives.py tests/interop/test_iec104_peers.py

check: .venv.stamp  ## style, types, import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

texts: .venv.stamp  ## the Chinese catalogue brought up to date with the texts in the code; says what is untranslated
	$(BIN)/python -m tests.base.catalogue

bench: .venv.stamp  ## figures as ratios against a floor measured in the same run: make bench OUT=FILE
	@mkdir -p $(dir $(OUT))
	$(BIN)/python -m bench --out $(OUT)

clean:  ## remove the virtual environment and what demo and bench wrote
	rm -rf .venv .venv.stamp demo-out bench-out build *.egg-info
