#!/usr/bin/env bash
# Fresh machine -> tests: .venv, the package with its dev extras, ruff, pytest.
# Tests of the report need a browser and are skipped without one: apt-get install chromium chromium-driver
# Arguments go to pytest: scripts/test.sh tests/test_losses.py
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
install_package dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec .venv/bin/python -m pytest -n auto --dist worksteal "$@"  # a process a core; each has one thread
