# The gates, the lab and the demo. Everything is made under .build/ and .lab/; the machine gets a few packages.

BUILD := $(CURDIR)/.build
COPY  := $(BUILD)/collections/ansible_collections/pgfleet/standby
GATES := $(CURDIR)/tests/gates

# Cheap to dear. Which needs which: tests/gates/stages.py.
STAGES := lint types unit copies plays explorer servers sanity artifact lab integration awx molecule releases lab-test

# Debian releases that have a small lab of their own: molecule/lab/release.py.
RELEASES := bullseye bookworm trixie forky

SPACE := $(subst ,, )

# A HOME of our own: the tools read and write their state there, never the user's.
export HOME := $(BUILD)/home
export PATH := $(BUILD)/venv/bin:$(PATH)
export LAB_DIR := $(CURDIR)/.lab
# Set before any tool starts, or some of them go looking for a stale copy of the collection.
export ANSIBLE_COLLECTIONS_PATH := $(BUILD)/collections
export NO_COLOR := 1
export ANSIBLE_NOCOLOR := 1
export RUFF_CACHE_DIR := $(BUILD)/cache/ruff
export BUILD COPY GATES

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv prepare $(STAGES) long release-images versions lab-down demo bench test changelog pins clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\)[a-z -]*:[^#]*## /\1\t/p' Makefile | expand -t 16

venv prepare: ## install the tools and refresh the copy that the gates work on
	@$(GATES)/prepare.sh

lint: prepare ## formatting, style, YAML, roles, documentation, changelog, shell
	@cd $(COPY) && $(GATES)/lint.sh

types: prepare ## mypy, at the oldest Python of a managed node where it matters
	@cd $(BUILD)/collections && $(GATES)/types.sh

unit: prepare ## unit tests; UNIT=path/to/test.py for some, COVERAGE=1 for a report
	@cd $(COPY) && $(GATES)/unit.sh $(UNIT)

copies: prepare ## copies by real rsyncs; COPIES=path/to/test.py for some
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections $(GATES)/folder.sh copies $(COPIES)

plays: prepare ## plays of the role on hosts that are stood in for; PLAYS=path/to/test.py for some
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections $(GATES)/folder.sh plays $(PLAYS)

explorer: prepare ## generated states of a host against the real modules; EXPLORER=path for some, EXPLORER_SEED=fresh and EXPLORER_TIMES=10 for others and more
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections $(GATES)/explorer.sh $(EXPLORER)

servers: prepare ## a real server of every major version; SERVERS=path/to/test.py for some
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections $(GATES)/servers.sh $(SERVERS)

sanity: prepare ## ansible-test sanity, every test
	@cd $(COPY) && $(GATES)/sanity.sh

artifact: prepare ## build the collection, check what is in it, run galaxy-importer on it
	@$(GATES)/prepare.sh importer
	@cd $(COPY) && $(GATES)/artifact.sh

integration: prepare lab ## ansible-test integration against the lab; TARGET=name for one
	@cd $(COPY) && $(GATES)/integration.sh $(TARGET)

molecule: prepare lab ## molecule scenarios; SCENARIO=name for one
	@cd $(COPY) && $(GATES)/molecule.sh $(SCENARIO)

lab-test: prepare lab ## faults and versions, on real hosts; LAB=path/to/test.py for some
	@python molecule/lab/lab.py up --standbys 3
	@# Its plays need not replay what other stages have written since the lab's first backup.
	@python molecule/lab/lab.py backup pg
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections \
	    pytest -v -p no:cacheprovider -m 'not long' -n 3 --dist loadfile --no-loadscope-reorder --durations 60 $(or $(LAB),tests/lab)

long: prepare lab $(if $(filter tests/lab%,$(LAB)),,release-images) ## what `make test` has no time for: consent, interruption, kinds of backups, retention, repmgr; LAB=path for some
ifdef LAB
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections pytest -v -p no:cacheprovider -m long --durations 0 $(LAB)
else
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections EXPLORER_SEED=fresh EXPLORER_TIMES=5 $(GATES)/explorer.sh
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections pytest -v -p no:cacheprovider -m long --durations 0 tests/servers
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections pytest -v -p no:cacheprovider -m long --durations 0 tests/lab
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections pytest -v -p no:cacheprovider -m long -n 2 --dist loadscope --durations 0 tests/releases
	@python $(GATES)/versions.py kinds $(LAB_DIR)/matrix docs/kinds.md
endif

releases: prepare release-images ## the whole play on other Debian releases, two at a time; RELEASES=name for one, LAB=path for some tests
	@cd $(COPY) && PYTHONPATH=$(BUILD)/collections \
	    pytest -v -p no:cacheprovider -m 'not long' -n 2 --dist loadscope --durations 0 -k '$(subst $(SPACE), or ,$(strip $(RELEASES)))' $(or $(LAB),tests/releases)
	@# A part of the tests shows a part of what the page tells.
	@$(if $(LAB),,python $(GATES)/versions.py releases $(LAB_DIR)/releases docs/versions.md)

release-images: prepare ## build what `releases` needs
	@python molecule/lab/lab.py install
	@for release in $(RELEASES); do python molecule/lab/lab.py --release $$release image || exit; done

versions: prepare ## write docs/versions.md and docs/kinds.md from what `releases`, `long` and `servers` have found
	@python $(GATES)/versions.py --write releases $(LAB_DIR)/releases docs/versions.md
	@python $(GATES)/versions.py --write kinds $(LAB_DIR)/matrix docs/kinds.md
	@python $(GATES)/versions.py --write servers $(BUILD)/records docs/versions.md

awx: artifact lab ## the built collection under ansible-runner, as a job template runs it
	@cd $(COPY) && python tests/gates/awx.py

lab: prepare ## start the lab: a primary, Barman, standbys
	@python molecule/lab/lab.py install
	@python molecule/lab/lab.py up

lab-down: ## stop the lab, and those of the releases
	@for release in $(RELEASES); do python3 molecule/lab/lab.py --release $$release down || exit; done
	@python3 molecule/lab/lab.py down

demo: prepare ## provision two empty standbys, then again to show changed=0
	@$(GATES)/demo.sh

bench: prepare lab ## side-by-side benchmarks
	@python bench/run.py
	@python bench/run.py fleet

test: ## everything, cheap to dear; ends with a list of all that failed
	@$(or $(PYTHON),python3) $(GATES)/stages.py $(STAGES)

changelog: prepare ## turn the fragments and new plugins into the release that galaxy.yml names
	@cd $(COPY) && antsibull-changelog release --reload-plugins
	@rsync -a --delete --exclude .plugin-cache.yaml $(COPY)/changelogs $(COPY)/CHANGELOG.md $(CURDIR)/

pins: prepare ## resolve requirements/*.in into fresh pins
	@$(GATES)/pins.sh

clean: ## remove what the gates made; the lab stays
	@rm -rf $(BUILD)
