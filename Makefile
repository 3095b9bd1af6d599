# Everything lives in .venv/. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SITE_READY := $(VENV)/.site-ready

.PHONY: setup demo wheel test test-slow test-slurm test-gpu statistics check docs outputs bench chaos confusion fuzz lock clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV)/: PyTorch and about a hundred packages, some 2.5 GB; this takes minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,gguf,constrained,report,baselines,dev]'
	touch $(READY)

setup: $(READY)  ## set up .venv/

demo: $(READY)  ## set up, run a real sweep on the built-in base, end with its report
	$(BIN)/setpoint experiment run --demo --workspace demo

test: $(READY)  ## set up, pass the tests
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: $(READY)  ## the long tests; the claims are graded on experiments whose truth is known
	$(BIN)/pytest -m slow
	$(BIN)/setpoint verify-claims --simulations 2000 --folders 20 --workers 2

statistics: $(READY)  ## measure how often the claims are right; write the tables of docs/reference/error_rates.md
	$(BIN)/setpoint verify-claims --simulations 2000 --folders 20 --workers 2 --write docs/reference/error_rates.md

test-slurm: $(READY)  ## real SLURM daemons on loopback; needs root and the packages of tests/slurm/cluster/up.sh
	$(BIN)/pytest -n 4 --dist worksteal -rP tests/slurm

test-gpu: $(READY)  ## what only a GPU can show; skipped without one, or where torch is the build for processors
	$(BIN)/pytest -rP tests/gpu

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python dev/check_yaml.py

$(SITE_READY): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $(SITE_READY)

docs: $(SITE_READY)  ## the documentation site in build/docs/; warnings, dead links and missing names are errors
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html -d build/doctrees docs build/docs

outputs: $(READY)  ## run the commands whose output the documents show, and write what they print; half an hour
	$(BIN)/python docs/outputs.py

bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

chaos: $(READY)  ## kill coordinator and workers a hundred times; nothing may be lost, repeated or changed
	PYTHONPATH=tests $(BIN)/python -m support.chaos

confusion: $(READY)  ## inject every fault into real training; each must be recognised
	PYTHONPATH=tests $(BIN)/python -m support.confusion

fuzz: $(READY)  ## damaged files and odd arguments for four minutes; every one must be refused in words
	PYTHONPATH=tests $(BIN)/python -m support.fuzz

wheel: $(READY)  ## build the wheel, install it into a bare environment, and run it there
	$(BIN)/python dev/wheel.py

lock: $(READY)  ## write requirements.lock, the tested set with hashes, and docs/reference/licences.md
	mkdir -p build
	$(BIN)/pip install --quiet --dry-run --ignore-installed --report build/report.json -c constraints.txt \
		'.[train,report,baselines]'
	$(BIN)/python dev/lock.py build/report.json

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache
