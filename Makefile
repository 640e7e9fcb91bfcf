# make demo | test | test-matrix | lint. Needs python3 (3.11 or newer) and pip; uv is used where it is installed, because it is faster.
# Everything is put under .venvs/ in this checkout.

PYTHON ?= python3
VENVS := .venvs
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)

# $(call venv,FOLDER,WHAT TO INSTALL): a fresh virtual environment
ifeq ($(UV),uv)
venv = rm -rf $(1) && uv venv --quiet --no-python-downloads --python $(PYTHON) $(1) && uv pip install --quiet --python $(1)/bin/python $(2)
else
venv = rm -rf $(1) && $(PYTHON) -m venv $(1) && $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
endif

# Two files of tests at a time, also on one core: much of the time they wait. Each worker starts the programs of the stack for itself, so
# there are not as many workers as cores; ARGS="-n 8" asks for more, ARGS="-n 0" for none.
SIDE_BY_SIDE := -n 2 --dist loadfile

.PHONY: demo test test-matrix lint docs clean

demo:
	$(call venv,$(VENVS)/demo,. openai anthropic)
	$(VENVS)/demo/bin/python examples/demo.py

test: $(VENVS)/test/installed
	$(VENVS)/test/bin/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-matrix:
	bash .ci/matrix $(SIDE_BY_SIDE) $(ARGS)

lint: $(VENVS)/test/installed
	$(VENVS)/test/bin/ruff check .
	$(VENVS)/test/bin/ruff format --check .
	$(VENVS)/test/bin/mypy
	$(VENVS)/test/bin/lint-imports

docs: $(VENVS)/test/installed
	$(VENVS)/test/bin/python docs/generate_configuration.py

$(VENVS)/test/installed: pyproject.toml
	$(call venv,$(VENVS)/test,-e .[test$(comma)lint])
	touch $@

comma := ,

clean:
	rm -rf $(VENVS)
