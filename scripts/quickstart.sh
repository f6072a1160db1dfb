#!/usr/bin/env bash
# Fresh machine -> a trained model, a submission and a picture, from synthetic faces alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/venv.sh
install_package
run="runs/quickstart-$(date +%Y-%m-%d_%H-%M-%S)"
.venv/bin/landmarks train experiment=quickstart run_dir="$run"
.venv/bin/landmarks predict checkpoint="$run" run_dir="$run/predict"
echo
echo "Submission: $PWD/$run/predict/submission.csv"
echo "Picture:    $PWD/$run/predict/faces.png"
