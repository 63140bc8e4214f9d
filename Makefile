# `make help` lists what there is. PYTHON= chooses the interpreter, ARGS= is passed on to the program.
PYTHON ?= python3
ARGS ?=
CHECKPOINT ?=
DIR ?=
DATA ?=
BUDGET ?= 0.6
BENCH ?= throughput
FORMAT ?= onnx,int8
OUT ?=
SOURCE ?=
MIN_PRECISION ?=
FOLDS ?= 5
SEEDS ?= 1
A ?=
B ?=
VENV := .venv
RUN := $(VENV)/bin/python run.py
# A path as Hydra reads it.
quoted = '$(subst ',\',$(1))'
# … and as the shell does.
literal = '$(subst ','\'',$(1))'
DEPLOY := $(VENV)/bin/python -m trashlite.deployment

.DEFAULT_GOAL := help
.PHONY: help setup setup-deploy train slim decompose submit sweep report crossval compare show-data predict calibrate export latency robustness crops import data-report test test-full lint bench clean clean-logs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { line = sprintf("%-13s", $$1); count = split($$2, words, " "); \
		for (i = 1; i <= count; i++) { if (length(line words[i]) > 79) { print line; line = sprintf("%13s", "") } line = line " " words[i] } \
		print line }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with everything a run needs

setup-deploy: $(VENV)/.installed-deploy ## … and what exports, videos and cameras need

# The stamp is touched last: an interrupted installation is taken up again, a finished one is not repeated.
$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; choose one with make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once; some minutes (README.md: a smaller installation without CUDA)"
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-deploy: requirements-deploy.txt $(VENV)/.installed
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-deploy.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed-deploy
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-cluster: requirements-cluster.txt $(VENV)/.installed-dev
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements-cluster.txt
	@touch $@

train: setup ## train, test and predict (ARGS="backbone.name=lcnet_050 trainer.max_epochs=20")
	$(RUN) $(ARGS)

decompose: setup ## squeeze CHECKPOINT=path to BUDGET=0.6 of its MACs, repair, fine-tune, submit (DATA= as for submit)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make decompose CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	$(RUN) experiment=decompose "checkpoint=$(call quoted,$(CHECKPOINT))" callbacks.low_rank.budget=$(BUDGET) $(if $(DATA),datamodule=trash "datamodule.root=$(call quoted,$(DATA))") $(ARGS)

slim: setup ## drop channels of CHECKPOINT=path (any backbone) to BUDGET=0.6 of its MACs, fine-tune, submit
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make slim CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	$(RUN) experiment=slim "checkpoint=$(call quoted,$(CHECKPOINT))" callbacks.slimming.budget=$(BUDGET) $(if $(DATA),datamodule=trash "datamodule.root=$(call quoted,$(DATA))") $(ARGS)

submit: setup ## predict test/NoLabel with CHECKPOINT=path (DATA=folder, else the one it was trained on)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make submit CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	$(RUN) fit=false test=false job_type=submit "checkpoint=$(call quoted,$(CHECKPOINT))" $(if $(DATA),datamodule=trash "datamodule.root=$(call quoted,$(DATA))") $(ARGS)

sweep: setup ## one run for each combination (ARGS="backbone.name=lcnet_035,lcnet_050"), or a search (ARGS="+sweep=nas")
	$(RUN) --multirun $(ARGS)

report: setup ## table, pictures and page of a sweep or any folder of runs (DIR=logs/multiruns/<time>)
	@test -n "$(DIR)" || { echo "Which folder? make report DIR=logs/multiruns/<time>"; exit 1; }
	@$(VENV)/bin/python -m hydra_plugins.trashlite.report $(call literal,$(DIR))

crossval: setup ## FOLDS=5 runs (x SEEDS=1) of ARGS="experiment=trash9 …", F1 with its interval; again: goes on (OUT=folder)
	@$(VENV)/bin/python -m hydra_plugins.trashlite.crossval --folds $(FOLDS) --seeds $(SEEDS) $(if $(OUT),--out $(call literal,$(OUT))) -- $(ARGS)

compare: setup ## is A better than B? Two runs, cross-validations or submissions of the same images: A=folder B=folder
	@test -n "$(A)" -a -n "$(B)" || { echo "make compare A=<run or cross-validation> B=<another> [OUT=folder]"; exit 1; }
	@$(VENV)/bin/python -m trashlite.reports.compare $(call literal,$(A)) $(call literal,$(B)) $(if $(OUT),--out $(call literal,$(OUT)))

show-data: setup ## draw the data set: class counts, sizes, augmented images (DATA=folder, else the demo set)
	$(RUN) show_data=true $(if $(DATA),datamodule=trash "datamodule.root=$(call quoted,$(DATA))") $(ARGS)

predict: setup ## classify SOURCE=file, folder, 'pattern', video or camera number with CHECKPOINT=path (OUT=folder)
	@test -n "$(CHECKPOINT)" -a -n "$(SOURCE)" || { echo "make predict CHECKPOINT=<run folder>/checkpoints/best.ckpt SOURCE=<image, folder, 'pattern', video or camera number>"; exit 1; }
	@$(DEPLOY) predict $(call literal,$(CHECKPOINT)) $(call literal,$(SOURCE)) $(if $(OUT),--out $(call literal,$(OUT))) $(ARGS)

calibrate: setup ## probabilities of CHECKPOINT=path to be believed; with MIN_PRECISION=0.9 "unknown" where unsure (DATA=folder)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make calibrate CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	@$(DEPLOY) calibrate $(call literal,$(CHECKPOINT)) $(if $(DATA),--data $(call literal,$(DATA))) $(if $(MIN_PRECISION),--min-precision $(MIN_PRECISION)) $(ARGS)

export: setup-deploy ## CHECKPOINT=path as a folder that runs without us (FORMAT=onnx,int8; DATA=folder, OUT=folder)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make export CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	@$(DEPLOY) export $(call literal,$(CHECKPOINT)) --format $(call literal,$(FORMAT)) $(if $(DATA),--data $(call literal,$(DATA))) $(if $(OUT),--out $(call literal,$(OUT))) $(ARGS)

latency: setup-deploy ## ms an image here of CHECKPOINT="path path …" side by side (FORMAT=torch,onnx,int8,c,…)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoints? make latency CHECKPOINT=\"<dense>.ckpt <squeezed>.ckpt\""; exit 1; }
	@$(DEPLOY) latency $(CHECKPOINT) $(if $(filter command line environment,$(origin FORMAT)),--format '$(FORMAT)') $(ARGS)

robustness: setup ## F1 of CHECKPOINT=path on other pixels: resize kernels, JPEG, blur, noise, light (DATA=folder)
	@test -n "$(CHECKPOINT)" || { echo "Which checkpoint? make robustness CHECKPOINT=<run folder>/checkpoints/best.ckpt"; exit 1; }
	@$(DEPLOY) robustness $(call literal,$(CHECKPOINT)) $(if $(DATA),--data $(call literal,$(DATA))) $(ARGS)

crops: setup ## cut objects out of photographs: ANNOTATIONS=coco.json IMAGES=folder OUT=folder (MAP=conf/categories/taco.yaml)
	@test -n "$(ANNOTATIONS)" -a -n "$(IMAGES)" -a -n "$(OUT)" || { echo "make crops ANNOTATIONS=<COCO file> IMAGES=<folder> OUT=<new folder> [MAP=conf/categories/taco.yaml]"; exit 1; }
	@$(VENV)/bin/python -m trashlite.data.crops $(call literal,$(ANNOTATIONS)) $(call literal,$(IMAGES)) $(call literal,$(OUT)) $(if $(MAP),--map $(call literal,$(MAP))) $(ARGS)

import: setup ## bring class folders, class-prefixed files or a CSV of labels into our layout: SOURCE=path OUT=folder
	@test -n "$(SOURCE)" -a -n "$(OUT)" || { echo "make import SOURCE=<folder or CSV file> OUT=<new folder> [ARGS=--link]"; exit 1; }
	@$(VENV)/bin/python -m trashlite.data.gather $(call literal,$(SOURCE)) $(call literal,$(OUT)) $(ARGS)

data-report: setup ## what is wrong with DATA=folder, as a page (OUT=folder, OUT_OF_FOLD=out_of_fold.csv of make crossval)
	@test -n "$(DATA)" || { echo "make data-report DATA=<folder> [OUT=logs/data_reports/<name>] [OUT_OF_FOLD=<out_of_fold.csv>]"; exit 1; }
	@$(VENV)/bin/python -m trashlite.reports.data_report $(call literal,$(DATA)) $(if $(OUT),--out $(call literal,$(OUT))) $(if $(OUT_OF_FOLD),--out-of-fold $(call literal,$(OUT_OF_FOLD))) $(ARGS)

test: $(VENV)/.installed-dev ## run the fast tests, on up to four cores
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

# PostgreSQL is installed where that is allowed; without it its tests are skipped, and say so.
test-full: $(VENV)/.installed-cluster ## run all tests, the slow ones too, with Ray and PostgreSQL
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get install -y -qq postgresql; } || \
		echo "PostgreSQL is not here and cannot be installed: its tests will be skipped"
	@{ command -v chromium && command -v node && command -v qemu-aarch64 && command -v aarch64-linux-gnu-gcc; } >/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get install -y -qq chromium nodejs qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf libc6-dev-armhf-cross; } || \
		echo "Chromium, Node or the ARM compiler is not here and cannot be installed: their tests will be skipped"
	$(VENV)/bin/python -m pytest -m "slow or not slow" -rs $(ARGS)

lint: $(VENV)/.installed-dev ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: setup ## measure training throughput beside plain loops (BENCH=low_rank, recipes, sweeper: other claims)
	$(VENV)/bin/python benchmarks/$(BENCH).py $(ARGS)

clean: ## remove what can be made again: the rendered demo set, image caches, caches of tools
	rm -rf data/demo data/cache .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

clean-logs: ## remove logs/ with all runs, searches and checkpoints in it; asks first
	@printf 'Remove logs/ (%s) with every checkpoint in it? [y/N] ' "$$(du -sh logs 2>/dev/null | cut -f1)"; \
		read -r answer; test "$$answer" = y && rm -rf logs || echo "Nothing was removed."
