#!/usr/bin/env bash
# Fails if the contracts break what the last release (tag v*) promised. Without a release there is nothing to break.
set -euo pipefail
cd "$(dirname "$0")/.."
release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -n "$release" ]; then
  .venv/bin/buf breaking protos --against ".git#tag=$release,subdir=protos"
fi
