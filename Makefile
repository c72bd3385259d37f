# make demo            quantify a made chest CT          make test        run the tests, in minutes
# make demo CT=path    quantify your own                 make test-all    and the long ones
# make demo-cohort     forty made patients, as a study   make lint types
# Needs Python 3.11-3.13 and a network for the first run; name another Python with PYTHON=...

CT ?=
OUT ?= output
VENV ?= .venv
BIN := $(VENV)/bin
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
            $(shell $(p) -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $(p))))
PINS := .ci/constraints.txt
PIP_OPTIONS ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS) $(PIP_OPTIONS)
# A worker for each processor; one that has no tests left takes some of another's.
WORKERS ?= auto
TESTS ?=
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

.PHONY: demo demo-cohort test test-all lint types format rooms docs clean

demo: $(VENV)/.installed
ifeq ($(strip $(CT)),)
	@test -f "$(OUT)/phantom/ct.nrrd" || $(BIN)/covidquant phantom --out "$(OUT)/phantom"
	@$(BIN)/covidquant quantify "$(OUT)/phantom/ct.nrrd" --out "$(OUT)"
else
	@$(BIN)/covidquant quantify "$(CT)" --out "$(OUT)"
endif

# Three exams of each patient, quantified on every processor; run again after a stop, it goes on where it was.
PATIENTS ?= 40
COHORT := $(OUT)/cohort
demo-cohort: $(VENV)/.cohort-installed
	@test -f "$(COHORT)/phantoms/manifest.csv" || \
	  $(BIN)/covidquant phantom --cohort $(PATIENTS) --out "$(COHORT)/phantoms"
	@$(BIN)/covidquant batch "$(COHORT)/phantoms/manifest.csv" --out "$(COHORT)/batch" --method model-free --no-picture
	@cp examples/demo-cohort.toml "$(COHORT)/batch/study.toml"
	@$(BIN)/covidquant study "$(COHORT)/batch/study.toml" --out "$(COHORT)/study"

test: $(VENV)/.test-installed
	@$(PYTEST)

test-all: test
	@$(PYTEST) -m slow

lint: $(VENV)/.dev-installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell && $(BIN)/lint-imports

types: $(VENV)/.dev-installed
	@$(BIN)/mypy

format: $(VENV)/.dev-installed
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

rooms: $(VENV)/.dev-installed
	@$(BIN)/python Testing/rooms.py

docs: $(VENV)/.dev-installed
	@$(INSTALL) --editable ".[docs]"
	@$(BIN)/mkdocs build --strict --site-dir "$(OUT)/site"

clean:
	rm -rf $(VENV) output build dist *.egg-info

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "COVIDQuant needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Making the environment in $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml $(PINS)
	@echo "Installing COVIDQuant (once) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.cohort-installed: $(VENV)/.installed
	@echo "Installing what cohorts need (once) ..."
	@$(INSTALL) --editable ".[cohort,report]"
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	@echo "Installing what the tests need (once) ..."
	@$(INSTALL) --editable ".[scene,report,cohort,dicom,test]"
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.test-installed
	@$(INSTALL) --editable ".[dev]"
	@touch $@
