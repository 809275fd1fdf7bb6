# Everything goes through .venv, which `setup` makes; a second call finds it up to date.
PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.installed
RUN := runs/train/$(shell date +%Y-%m-%d_%H-%M-%S)
RUNS ?= runs
PASSES ?= 4680
PYTEST := $(PY) -m pytest -n 2 --dist loadfile
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup train chain nss release test test-all lint smoke ablation searchers bench report ground-truth clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP)  ## make .venv with everything in it (2 minutes, 6 GB)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON): install Python 3.11 or newer, or say make PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11: say make PYTHON=python3.11"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) lacks venv: install the python3-venv package"; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

train: setup  ## train four short supernets, rank all their paths together, report; RUN=<its folder> goes on with one
	$(PY) -m src.train -m experiment=ensemble seed=0,1,2,3 hydra.sweep.dir=$(RUN)
	$(PY) -m src.report runs=$(RUN)

chain: setup  ## supernet, search, retraining and ONNX, one after another on the embedded data (5 minutes); resumable
	$(PY) -m src.train hydra.run.dir=runs/chain/supernet
	$(PY) -m src.search run=runs/chain/supernet hydra.run.dir=runs/chain/search
	$(PY) -m src.retrain run=runs/chain/supernet arch=runs/chain/search/selected.csv pick=1 hydra.run.dir=runs/chain/network
	$(PY) -m src.export run=runs/chain/network

nss: setup  ## a network space near a cost, a network searched in it, retrained, exported (3 minutes); resumable
	$(PY) -m src.train experiment=nss cost.target=400e3 ranking.paths=50 hydra.run.dir=runs/nss/space
	$(PY) -m src.report runs=runs/nss/space out=runs/nss/report
	$(PY) -m src.train search_space=expanded_mini search_space.within=runs/nss/space sampler=spos ranking.paths=50 \
		hydra.run.dir=runs/nss/supernet
	$(PY) -m src.search run=runs/nss/supernet limit.macs=[360e3,440e3] budget.models=100 hydra.run.dir=runs/nss/search
	$(PY) -m src.retrain run=runs/nss/supernet arch=runs/nss/search/selected.csv pick=best hydra.run.dir=runs/nss/network
	$(PY) -m src.export run=runs/nss/network

release: setup  ## supernets of mini and, small, of NAS-Bench-Macro, with scores, as one archive (25 minutes); resumable
	@test -n "$(IMAGES)" -a -n "$(TRUTH)" || \
		{ echo "error: say IMAGES=<folder of CIFAR-10 images> TRUTH=<nas-bench-macro_cifar10.json>"; exit 2; }
	$(PY) -m src.train logger=csv hydra.run.dir=runs/release/mini
	$(PY) -m src.train search_space=nas_bench_macro "search_space.channels=[16,32,64]" dataset=image_folder \
		dataset.root=$(IMAGES) image_size=16 dataset.train_images=5000 dataset.val=1000 benchmark.path=$(TRUTH) \
		batch_size=64 optimizer.lr=0.05 schedule.warmup_epochs=1 step.clip_norm=1 budget.backward_passes=$(PASSES) \
		ranking.paths=300 "ranking.bn=[recalibrate]" ranking.calibration_images=256 validation.paths=8 logger=csv \
		hydra.run.dir=runs/release/nas_bench_macro_16px
	tar -czf runs/fairpath_supernets.tar.gz --exclude=.lock --exclude=previous.ckpt -C runs/release .
	@ls -l runs/fairpath_supernets.tar.gz

test: setup  ## the fast tests
	OMP_NUM_THREADS=1 $(PYTEST)

test-all: setup  ## all tests, the slow ones too
	OMP_NUM_THREADS=1 $(PYTEST) -m "slow or not slow"

lint: setup  ## formatting, lint, types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

smoke: setup  ## every stage for a few steps
	$(PY) -m src.train budget.steps=20 ranking.paths=10 logger=csv hydra.run.dir=$(RUN)
	$(PY) -m src.report runs=$(RUN)

ablation: setup  ## the fairness ablation on mini, both budgets, and its reports; resumable
	$(PY) -m src.train -m experiment=fairness_ablation
	$(PY) -m src.report runs=runs/fairness_ablation/mini
	$(PY) -m src.train -m experiment=fairness_ablation_equal_passes
	$(PY) -m src.report runs=runs/fairness_ablation_equal_passes/mini

searchers: setup  ## all searchers on mini, 5 seeds, truth and a supernet as the evaluator (10 minutes); resumable
	$(PY) -m src.train hydra.run.dir=runs/searchers/supernet
	$(PY) -m src.search -m experiment=search_comparison benchmark=mini scores=runs/searchers/supernet/scores.csv \
		searcher.population=16 budget.models=128
	$(PY) -m src.report runs=runs/search_comparison/mini

bench: setup  ## the speed of the fair step beside the plain loop (half an hour on 2 idle cores)
	$(PY) -m src.bench bench=step rounds=3
	$(PY) -m src.bench bench=step case=growth rounds=3

report: setup  ## tables, figures and one page of RUNS=<folder>
	$(PY) -m src.report runs=$(RUNS)

ground-truth: setup  ## train all networks of mini alone, 16 seeds (40 minutes on 2 cores); resumable
	OMP_NUM_THREADS=1 $(PY) -m src.ground_truth

clean:  ## remove caches and .venv, and leave runs/ alone
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
