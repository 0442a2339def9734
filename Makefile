# `make` lists what there is to do. All of it works in .venv, which the first target makes.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first name on PATH that fits; `make setup PYTHON=/path/to/python` names another.
IS_FIT := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
	$$name -c '$(IS_FIT)' 2>/dev/null && echo $$name && break; done)
# What `make test-matrix` tests: names on PATH or paths.
PYTHONS ?= python3.11 python3.12 python3.13
# Test processes, one more than two cores, for some wait for what they started. A file's tests stay
# together, for a network compiles once in each process. The many processes that the tests start
# share the package's bytecode, whatever the environment says. One that dies is not replaced: xdist
# 3.8 then waits for ever for the file that it was at.
JOBS ?= 3
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
	--max-worker-restart 0

# What the tests run on: PyPI's newest may be another.
TORCH ?= torch==2.13.0

DEMO_DATA ?= data/demo
BCCD_DATA ?= ../shared/data/bccd
BCCD_BACKBONE ?= ../shared/weights/mobilenet_v2_100.ckpt
ACCURACY_DATA ?= ../shared/data/bccd ../shared/data/boards
SEEDS ?= 0,1,2

# For each subject of `make fuzz`; another SEED tries other inputs.
MINUTES ?= 60
SEED ?= 0

.PHONY: help setup check test test-matrix fuzz fuzz-serve demo bccd accuracy bench clean

help: ## List these targets
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

setup: $(STAMP) ## Make .venv and install mindssd with both engines and the developers' tools

# A stamp, so that it runs again only when the requirements change, or when it did not finish.
$(STAMP): pyproject.toml
	@set -eu; \
	is_fit='$(IS_FIT)'; \
	if ! { $(BIN)/python -c "$$is_fit" && $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
		python='$(PYTHON)'; \
		if [ -z "$$python" ] || ! "$$python" -c "$$is_fit"; then \
			found=$${python:+$$python is another}; \
			echo "mindssd needs Python 3.11, 3.12 or 3.13 ($${found:-none is on PATH})." >&2; \
			echo "Install one, or say where it is: make setup PYTHON=/path/to/python3.12" >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) || { \
			echo "$$python cannot make it; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi; \
	engines='MindSpore, PyTorch'; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
		engines=PyTorch; echo "without MindSpore, which has no wheels for Python 3.13"; \
	fi; \
	echo "installing into $(VENV): $$engines and the rest, some minutes on a fast network"; \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[mindspore,torch,dev]' '$(TORCH)'; \
	touch $@; \
	echo "installed in $$SECONDS s; $(BIN)/mindssd is ready"

check: $(STAMP) ## Format, lint, types, import rules and the fast tests: a minute or three
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(PYTEST) -m "not slow"

test: $(STAMP) ## Every test, the slow ones too
	@$(PYTEST)

test-matrix: ## The fast tests on Python 3.11, 3.12 and 3.13, with no engine and the newest packages
	@set -eu; \
	for python in $(PYTHONS); do \
		command -v $$python >/dev/null || { \
			echo "no $$python on PATH; name those that are: make test-matrix PYTHONS=..." >&2; exit 1; }; \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		bin=.venv-$$version/bin; \
		echo "== Python $$version"; \
		[ -x $$bin/python ] || $$python -m venv .venv-$$version; \
		$$bin/python -m pip install -qq --disable-pip-version-check \
			--editable '.[train,runtime,openvino,video,heif,serve,mlflow,wandb,swanlab,supervision,pandas,hub,test]'; \
		$$bin/python -c 'import cv2, numpy; print("NumPy", numpy.__version__, "OpenCV", cv2.__version__)'; \
		PATH=$$PWD/$$bin:$$PATH $$bin/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"; \
	done

fuzz: $(STAMP) ## Damaged images, odd annotations and odd sources, an hour each: MINUTES=60
	@set -eu; \
	for path in $(filter-out tests/fuzz/__% tests/fuzz/test_%,$(sort $(wildcard tests/fuzz/*.py))); do \
		$(BIN)/python -m tests.fuzz $$(basename $$path .py) --minutes $(MINUTES) --seed $(SEED); \
	done

# Schemathesis brings a plug-in of pytest, so it has an environment of its own.
fuzz-serve: $(STAMP) ## What the service's description allows and forbids, by schemathesis: minutes
	@set -eu; \
	[ -x .venv-fuzz/bin/schemathesis ] || { $(BIN)/python -m venv .venv-fuzz; \
		.venv-fuzz/bin/pip install -qq --disable-pip-version-check 'schemathesis>=4,<5'; }; \
	$(BIN)/python -m tests.serve.fuzz .venv-fuzz/bin/schemathesis --seed $(SEED)

demo: $(STAMP) ## Draw a data set, train on it, evaluate and show detections: some ten minutes
	@set -euo pipefail; \
	run=runs/demo-$$(date +%Y%m%d-%H%M%S); \
	$(BIN)/mindssd demo $(DEMO_DATA); \
	$(BIN)/mindssd train --config demo data_dir=$(DEMO_DATA) runs_dir=runs name=$${run#runs/}; \
	$(BIN)/mindssd eval $$run/best.safetensors data_dir=$(DEMO_DATA) --json $$run/results.json \
		| tee $$run/results.txt; \
	$(BIN)/mindssd predict $$run/best.safetensors $(DEMO_DATA)/val2017 \
		--out $$run/predictions --sheet --score 0.4; \
	echo; \
	echo "run folder        $$run"; \
	echo "table of results  $$run/results.txt"; \
	echo "contact sheet     $$run/predictions/contact_sheet.jpg"

bccd: $(STAMP) ## Train on 292 real images, two recipes and three seeds each: about an hour
	@$(BIN)/python benchmarks/bccd_training.py $(BCCD_DATA) $(BCCD_BACKBONE)

accuracy: $(STAMP) ## What the recipe for small data reaches on ACCURACY_DATA, by SEEDS: minutes each
	@$(BIN)/python benchmarks/accuracy.py $(ACCURACY_DATA) --backbone $(BCCD_BACKBONE) --seeds $(SEEDS)

# These need data or models and take hours, stand above, or belong to another: their first lines say
# how they are run.
ON_THEIR_OWN := $(addprefix benchmarks/,$(addsuffix .py,\
	accuracy accuracy_variants bccd_training edge_files label_mistakes serve_clients \
	stream suggest tracking tracking_clips))

bench: $(STAMP) ## Every claim about speed, measured in turn
	@set -eu; \
	for script in $(filter-out $(ON_THEIR_OWN),$(sort $(wildcard benchmarks/*.py))); do \
		echo "== $$script"; \
		$(BIN)/python $$script; \
	done

clean: ## Remove the environments and what the tools left; runs/ and data/ stay
	rm -rf $(VENV) .venv-* build dist mindssd.egg-info .pytest_cache .mypy_cache .ruff_cache
	find mindssd tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
