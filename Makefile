# SPDX-License-Identifier: GPL-3.0-or-later
# Everything happens in a virtual environment inside the checkout; needs Python 3.11 or newer, git and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= bench-out/bench.json

DEMO := $(if $(wildcard .venv.stamp),.venv.stamp,.venv.demo.stamp)

.PHONY: help install demo test full-test browser-test soak deb bundle packages-test check texts docs reference screens lock sbom bench guard clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

# constraints.txt pins every version, so a fresh machine gets what was tested. A demo needs less than half of what the
# tests need. Modules are compiled when they are first imported: a fifth of those installed.
.venv.stamp: EXTRA = test
.venv.stamp: SIZE = 400 MB in 120 packages, 1 GB installed
.venv.demo.stamp: EXTRA = demo
.venv.demo.stamp: SIZE = 150 MB in 75 packages, 450 MB installed
.venv.stamp .venv.demo.stamp: pyproject.toml constraints.txt requirements/moto.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	@# A venv module that lacks its other half (Debian: python3-venv) leaves an environment without pip behind.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo 'fetching what is not there yet into .venv, at most $(SIZE); minutes on a slow line'
	@# Until 0.1.0 the distribution had a name that belongs to a stranger on public indexes.
	@$(BIN)/python -m pip uninstall --quiet --quiet --yes collector
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[$(EXTRA)]'
	@case $(EXTRA) in test) $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/moto.txt;; esac
	@touch $@

PREFIX ?= $(HOME)/.local
install: $(DEMO)  ## a link to the program in ~/.local/bin, or in PREFIX/bin
	@mkdir -p $(PREFIX)/bin
	ln -sf $(CURDIR)/$(BIN)/collector $(PREFIX)/bin/collector
	@case :$$PATH: in *:$(PREFIX)/bin:*) ;; *) echo 'put it on your path: export PATH="$(PREFIX)/bin:$$PATH"';; esac

demo: $(DEMO)  ## the whole chain on this machine: devices to statement, compared with the truth
	$(BIN)/collector demo --out demo-out

# Four share two cores well, as most tests wait for sockets and other processes for a time; a fifth does nothing else.
test: .venv.stamp  ## all tests
	$(BIN)/python -m pytest -n 5 --dist worksteal -rs

full-test: .venv.stamp  ## all tests, the random and repeated ones at their full size, pages in every language and width
	FULL=1 BROWSER=1 $(BIN)/python -m pytest -n 2 --dist worksteal -rs

# Half an hour on two cores. CI looks at one of each kind of page and reader; here is the breadth, and pictures to look at.
browser-test: .venv.stamp  ## every test in a browser at full size, and each role's pages as pictures in build/screens
	BROWSER=1 $(BIN)/python -m pytest -n 2 --dist loadfile -rs $$(grep -rl tests.headless tests --include='test_*.py')

# Ten to thirty minutes on two cores; the figures of each test are printed at the end.
soak: .venv.stamp  ## faults at length: 200 kills, 100 damaged buffers, 24 h in compressed time, a million frames per codec
	SOAK=1 FULL=1 STARTS=50 KILLS=200 DAMAGES=100 HOURS=24 FRAMES=1000000 LINK_FRAMES=500000 $(BIN)/python -m pytest -n 2 --dist worksteal -rP --show-capture=stdout -o faulthandler_timeout=0 \
		tests/crash tests/soak tests/contract/test_driver_faults.py tests/center/receive/test_receiver.py tests/agent/buffer/test_buffer_lives.py tests/agent/buffer/test_buffer_mixed.py tests/interop/test_iec104_peers.py

check: .venv.stamp  ## style, types, import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

texts: .venv.stamp  ## the Chinese catalogue brought up to date with the texts in the code; says what is untranslated
	$(BIN)/python -m tests.base.catalogue

docs: .venv.stamp  ## build/site: the documentation as a site with a search, read from the folder, without a network
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: .venv.stamp  ## docs/reference.md and docs/configuration.md, from the program
	$(BIN)/python -m docs.make_reference

screens: .venv.stamp  ## docs/screens/*.png: the pages most used, looked at in Chromium
	$(BIN)/python -m tests.center.web.make_screens
	$(BIN)/python -m tests.agent.operate.page.make_page_screens

lock: .venv.stamp  ## requirements/*.txt from constraints.txt and the package index, and docs/licences.md
	$(BIN)/python -m requirements.lock
	$(BIN)/python -m requirements.licences

# As root, for the Debian release SUITE: bookworm (12) or trixie (13), and the processor ARCH: amd64 or arm64. A bare root
# of the release is made once, in build/.
SUITE ?= bookworm
OWN_ARCH := $(shell dpkg --print-architecture 2>/dev/null)
OTHER_ARCH := $(if $(filter arm64,$(OWN_ARCH)),amd64,arm64)
ARCH ?= $(OWN_ARCH)
SIDES ?= agent center
PYTHON_VERSION ?= $(if $(filter trixie,$(SUITE)),3.13,3.11)
export SUITE PYTHON_VERSION ARCH
export HOST_PYTHON ?= $(BIN)/python
deb: .venv.stamp  ## dist/collector-agent_*.deb and collector-center_*.deb, built in a bare root (root, mmdebstrap)
	for side in $(SIDES); do packages/build_deb.sh $$side dist || exit 1; done

bundle: .venv.stamp  ## dist/collector-*.tar.gz: wheels with hashes and an install script, for machines without internet
	for side in $(SIDES); do packages/build_bundle.sh $$side dist || exit 1; done

# Debian's Python for the other processor, unpacked and not configured: qemu-user runs the program in it.
# base-files: from Debian 13 on /lib is its link.
OTHER_ROOT := build/$(SUITE)-$(OTHER_ARCH)-extracted.tar
$(OTHER_ROOT):
	@mkdir -p build
	mmdebstrap --quiet --variant=extract --architectures=$(OTHER_ARCH) --include=base-files,python3,python3-venv,libstdc++6,zlib1g $(SUITE) $(@:.tar=.part.tar)
	mv $(@:.tar=.part.tar) $@

# What CI has no time for; it takes minutes, and mosquitto is fetched. 0.1.0 is the commit that was delivered first.
packages-test: deb bundle $(OTHER_ROOT)  ## packages and bundles installed, started, upgraded from 0.1.0, removed and purged in a bare root
	$(MAKE) deb bundle ARCH=$(OTHER_ARCH)
	for side in $(SIDES); do packages/build_deb.sh $$side dist/old 7fe02f0 || exit 1; done
	ROOT_TAR=build/$(SUITE)-$(OWN_ARCH).tar OTHER_ROOT_TAR=$(OTHER_ROOT) $(BIN)/python -m pytest -rs -o faulthandler_timeout=0 packages

sbom: .venv.stamp  ## dist/*.cdx.json: what each deployment installs (CycloneDX), to go with a release
	$(BIN)/python -m requirements.sbom dist

bench: .venv.stamp  ## figures as ratios against a floor measured in the same run: make bench OUT=FILE; with peers: PEERS=1
	@mkdir -p $(dir $(OUT))
	$(BIN)/python -m bench --out $(OUT)

# Half a minute. Instructions, not seconds: what else the machine does matters little. Says so where valgrind is absent.
guard: .venv.stamp  ## fails where a hot path takes 15 % more instructions than bench/guard.json; accept: python -m bench.guard --accept
	$(BIN)/python -m bench.guard

clean:  ## remove the virtual environment and what demo and bench wrote
	rm -rf .venv .venv.stamp .venv.demo.stamp demo-out bench-out build *.egg-info
