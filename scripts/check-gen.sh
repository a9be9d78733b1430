#!/usr/bin/env bash
# Fails if generating again gives other code than the repository holds.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/gen.sh "$fresh"
.venv/bin/python scripts/openapi.py "$fresh/openapi.json"
cmp "$fresh/openapi.json" gateway/openapi.json || { echo "gateway/openapi.json is stale: run make gen and commit." >&2; exit 1; }
.venv/bin/python scripts/manual.py "$fresh/manual.json"
cmp "$fresh/manual.json" contracts/src/dsr/cli/manual.json || { echo "contracts/src/dsr/cli/manual.json is stale: run make gen and commit." >&2; exit 1; }
for folder in v1 connector authority; do
  diff -r -q -x __pycache__ "$fresh/dsr/$folder" "contracts/src/dsr/$folder" || {
    echo "Generated code is stale: run make gen and commit." >&2
    exit 1
  }
done
