# Everything a fresh machine with Python 3.11+ and make needs: `make launch` and `make test` set themselves up.
#
#   make launch   set up, then run search_spaces/vit.yaml to a promoted checkpoint
#   make test     set up, then run the tests
#   make check    format, lint, types
#   make bench    every benchmark; writes nothing, prints tables
#   make format   let ruff mend what it can
#   make image    build images/Dockerfile: TARGET=base, cv, nlp or dev; ENGINE=docker or podman
#   make lock     write the images' lock files; UPGRADE=1 takes the newest of everything

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEC ?= search_spaces/vit.yaml

ENGINE ?= docker
TARGET ?= base
TORCH ?= 2.14.1
TORCHVISION ?= 0.29.1
# 2.14.1 is v2.14; base has the name alone, the others have theirs behind it.
IMAGE := pytorch-cuda:v$(basename $(TORCH))
TAG := $(IMAGE)$(if $(filter base,$(TARGET)),,-$(TARGET))

.PHONY: launch test check format bench clean image lock

launch: $(VENV)/.installed
	$(BIN)/sweep launch $(SPEC) --yes

test: $(VENV)/.installed-dev
	$(BIN)/pytest -rs -m "not ray and not slow" -n 2
	$(BIN)/pytest -rs -m "slow or ray" -n 2 --dist loadfile

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

image:
	DOCKER_BUILDKIT=1 $(ENGINE) build --file images/Dockerfile --target $(TARGET) --tag $(TAG) \
	  --build-arg IMAGE=$(IMAGE) --build-arg TORCH_VERSION=$(TORCH) \
	  --build-arg REVISION=$$(git rev-parse HEAD) $(if $(filter podman,$(ENGINE)),--format docker) $(BUILD) .

lock: $(VENV)/.installed-dev
	$(BIN)/python images/lock.py --torch $(TORCH) --torchvision $(TORCHVISION) $(if $(UPGRADE),--upgrade)

# torch comes first and by name alone, so that pip takes the build that the machine's own configuration prefers.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "torch>=2.9" "torchvision>=0.24"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
