#!/usr/bin/env bash
# Installs a hash-locked requirements file and the project itself, editable, into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=1
echo "Installing $1 into .venv …"
.venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r "$1"
# The lock names setuptools too: nothing is fetched beside it.
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e contracts -e .
