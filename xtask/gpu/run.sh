#!/bin/sh
# What `cargo xtask gpu` packs, on a machine with a GPU: `./run.sh OUT` checks, tests, measures and writes its figures into OUT.
# It needs Python 3 with PyTorch 2.11 for CUDA, and glibc 2.34; no compiler, no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "${PYTHON:-python3}" "$here/run.py" "$@"
