#!/usr/bin/env bash
# Generates the Python code of the contracts (default: into contracts/src) and copies Google's annotations for buf.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
out=${1:-contracts/src}
google=$("$bin/python" -c 'import google.api; print(list(google.api.__path__)[0])')
mkdir -p .build/googleapis/google/api "$out"
cp "$google"/{annotations,http,field_behavior}.proto .build/googleapis/google/api/
(cd protos && find . -name '*.proto' | sed 's|^\./||' | sort) | xargs "$bin/python" -m grpc_tools.protoc \
  -Iprotos -I.build/googleapis \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out"
for package in dsr/v1 dsr/connector dsr/connector/v1 dsr/authority dsr/authority/v1; do touch "$out/$package/__init__.py"; done
if [ $# -eq 0 ]; then
  "$bin/python" scripts/openapi.py
  "$bin/python" scripts/manual.py
fi
