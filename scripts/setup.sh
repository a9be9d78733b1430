#!/usr/bin/env bash
# Installs a hash-locked requirements file and the project itself, editable, into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=1
install() { .venv/bin/python -m pip install --quiet "$@"; }
echo "Installing $1 into .venv …"
# First what is built with, so that no build fetches anything beside the locks.
install --require-hashes --only-binary :all: -r requirements-build.txt
install --require-hashes --only-binary :all: --no-binary bagit --no-build-isolation -r "$1"
install --no-deps --no-build-isolation -e contracts -e .
