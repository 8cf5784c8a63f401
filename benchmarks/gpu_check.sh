#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in parts that can be taken up again.
#
#   DATA=images WEIGHTS=mobilenet_v2.pth OUT=results WORK=runs/gpu bash benchmarks/gpu_check.sh [part ...]
#
# DATA    CIFAR-10 as torchvision's files or as an image folder (train/CLASS/*, test/CLASS/*).
# WEIGHTS torchvision's MobileNetV2 with ImageNet's weights; without it two parts are skipped.
# MINILM  a safetensors file of MiniLM; without it the spectra of the other two are compared.
# OUT     few and small results: a log and a report for each part, and summary.txt.
# WORK    checkpoints and states; a part that was broken off goes on from there.
# DEVICE  cuda (default) or cpu.  SIZE full (default) or tiny: a rehearsal with tiny numbers, for
#         which some hundred images in DATA are enough.
# LIMIT   seconds for all parts together (default 540); what does not fit is left for the next run.
# WHEELS  a folder with wheels, for a machine without a network: typer, msgspec and hatchling.
#
# Parts: regimes devices certify torchrun spectra, side by side; then tuned and posterior; then
# throughput, alone. Every part is run even where another failed; the exit code is the number of
# those that did not pass.
set -uo pipefail
cd "$(dirname "$0")/.."

: "${DATA:?names the images}" "${OUT:=gpu_check}" "${WORK:=runs/gpu_check}"
: "${DEVICE:=cuda}" "${SIZE:=full}" "${LIMIT:=540}"
mkdir -p "$OUT" "$WORK"
started=$SECONDS
python=${PYTHON:-python3}

if ! "$python" -c 'import dlgen_cli' 2>/dev/null; then
  "$python" -m pip install --quiet --no-build-isolation \
    ${WHEELS:+--no-index --find-links "$WHEELS"} . || exit 1
fi
dlgen() { "$python" -m dlgen_cli "$@"; }

left() { echo $((LIMIT - (SECONDS - started))); }

# part NAME: runs the function part_NAME once, within what is left of the time.
part() {
  local name=$1 begun=$SECONDS status=failed
  if [ -e "$WORK/$name.passed" ]; then
    status="passed before"
  elif [ "$(left)" -lt 15 ]; then
    status="left for the next run"
  else
    # A command of its own: as the condition of an if, set -e would have no effect.
    (set -e; "part_$name"; touch "$WORK/$name.passed") > "$OUT/$name.log" 2>&1
    [ -e "$WORK/$name.passed" ] && status=passed
  fi
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

# The four regimes at full size, side by side, then the verdicts; --resume goes on where a run was
# broken off.
part_regimes() {
  local epochs=60 m=() stem=small regime
  [ "$SIZE" = tiny ] && epochs=1 m=(--m 256) stem=imagenet
  local settings=(--data "$DATA" --stem "$stem" --lr 0.003 --schedule linear --batch-size 256
    --epochs "$epochs" --until-train-error -1 --evaluate-every 10 "${m[@]}" --device "$DEVICE"
    --seed 1)
  for regime in standard random mixed-random mixed-adversarial; do
    [ -e "$WORK/postulates/$regime/config.json" ] && continue
    local again=()
    [ -d "$WORK/postulates/$regime.partial" ] && again=(--resume)
    within "$LIMIT" "$python" -m dlgen_cli train --dataset "$regime" "${settings[@]}" \
      --save "$WORK/postulates/$regime" "${again[@]}" > "$WORK/$regime.log" 2>&1 &
  done
  wait
  tail -n 3 "$WORK"/{standard,random,mixed-random,mixed-adversarial}.log
  for regime in standard random mixed-random mixed-adversarial; do
    test -e "$WORK/postulates/$regime/config.json"
    cp "$WORK/postulates/$regime/model.safetensors" "$OUT/$regime.safetensors"
  done
  dlgen postulates "${settings[@]}" --save "$WORK/postulates" --output "$OUT/postulates.json"
  dlgen postulates "${settings[@]}" --save "$WORK/postulates"
}

# Images a second against the plain DataLoader loop, eager and compiled.
part_throughput() {
  local rounds=(--stem small --rounds 3 --steps 150 --batch 256)
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
PYTHON
  if [ -n "${MINILM:-}" ]; then cp "$MINILM" "$WORK/minilm.safetensors"; fi
  local arch=() file device
  for file in wide network minilm; do
    [ -e "$WORK/$file.safetensors" ] || continue
    arch=()
    [ "$file$SIZE" = networkfull ] && arch=(--arch resnet50)
    for device in "$DEVICE" cpu; do
      local begun=$SECONDS
      dlgen spectra "$WORK/$file.safetensors" "${arch[@]}" --device "$device" --no-cache -q \
        --output "$WORK/$file.$device.json"
      echo "$file on $device: $((SECONDS - begun)) s"
    done
    "$python" - "$WORK/$file.$DEVICE.json" "$WORK/$file.cpu.json" <<'PYTHON'
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
  # Without the two dashes torchrun takes --m for an option of its own.
  "$python" -m torch.distributed.run --nproc-per-node 1 -m -- dlgen_cli train --data "$DATA" \
    --stem imagenet --m "$m" --epochs 1 --device "$DEVICE" --save "$WORK/torchrun"
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
  dlgen train --data digits --epochs 2 --device "$DEVICE" --save "$WORK/devices-run"
  dlgen train --data digits --objective coded --depth 2 --dim 100 --epochs 2 \
    --device "$DEVICE" --save "$WORK/devices-coded"
  dlgen train --data digits --objective pac-bayes --anchors "$model/init.safetensors" \
    --epochs 2 --device "$DEVICE" --save "$WORK/devices-posterior"
  for run in devices-run devices-coded devices-posterior; do
    dlgen certify "$WORK/$run" --data digits --draws 2000 --device "$DEVICE" -q
  done
  dlgen postulates --data digits --epochs 2 --device "$DEVICE" --save "$WORK/devices-postulates"
}

# ImageNet's MobileNetV2 tuned on 45,000 images, with its holdout certificate, and a posterior over
# its last layer, bounded on the 5,000 that it never saw.
part_tuned() {
  test -n "${WEIGHTS:-}" || { echo "WEIGHTS names no weights: nothing to tune."; return; }
  local size=160 epochs=5 m=45000 holdout=5000
  [ "$SIZE" = tiny ] && size=64 epochs=1 m=200 holdout=40
  rm -rf "$WORK"/tuned "$WORK"/tuned-posterior
  dlgen anchors "$WEIGHTS" --arch mobilenet_v2 --image-size "$size" --mirrored --classes 10 \
    --head zero --save "$WORK/start.safetensors"
  dlgen train --start "$WORK/start.safetensors" --data "$DATA" --m "$m" --holdout "$holdout" \
    --lr 0.0005 --schedule linear --batch-size 128 --epochs "$epochs" --evaluate-every "$epochs" \
    --until-train-error -1 --seed 1 --device "$DEVICE" --save "$WORK/tuned"
  dlgen train --objective pac-bayes --anchors "$WORK/tuned" --data "$DATA" --seed 1 \
    --device "$DEVICE" --save "$WORK/tuned-posterior"
  dlgen certify "$WORK/tuned-posterior" --data "$DATA" --tried 4 --device "$DEVICE" \
    --output "$OUT/tuned.json"
  dlgen verify "$OUT/tuned.json"
}

# A posterior around ImageNet's MobileNetV2 over its last blocks, bounded on all examples.
part_posterior() {
  test -n "${WEIGHTS:-}" || { echo "WEIGHTS names no weights: nothing to train."; return; }
  local size=128 epochs=24 draws=200000 m=()
  [ "$SIZE" = tiny ] && size=64 epochs=1 draws=500 m=(--m 200)
  rm -rf "$WORK/posterior"
  dlgen anchors "$WEIGHTS" --arch mobilenet_v2 --image-size "$size" --mirrored \
    --taps 10,13,14,16,17 --head rows --rows benchmarks/results/certificates/imagenet_rows.json \
    --head-scale 0.2 --data "$DATA" --save "$WORK/anchor.safetensors"
  dlgen train --objective pac-bayes --anchors "$WORK/anchor.safetensors" --data "$DATA" "${m[@]}" \
    --trainable "${TRAINABLE:-taps.*,classifier.*,features.1[5-8].*}" --epochs "$epochs" --seed 1 \
    --device "$DEVICE" --save "$WORK/posterior"
  dlgen certify "$WORK/posterior" --data "$DATA" --draws "$draws" --tried 64 --device "$DEVICE" \
    --output "$OUT/posterior.json"
  dlgen verify "$OUT/posterior.json"
}

"$python" - "$DEVICE" <<'PYTHON' | tee "$OUT/summary.txt"
import sys

import torch

name = torch.cuda.get_device_name() if sys.argv[1] == "cuda" else "the CPU"
print(f"torch {torch.__version__} on {name}")
PYTHON
asked=("$@")
[ $# -gt 0 ] || asked=(regimes devices certify torchrun spectra tuned posterior throughput)
for group in "regimes devices certify torchrun spectra" "tuned posterior" throughput; do
  for name in $group; do
    [[ " ${asked[*]} " = *" $name "* ]] && part "$name" &
  done
  wait
done
failed=0
for name in "${asked[@]}"; do [ -e "$WORK/$name.passed" ] || failed=$((failed + 1)); done
exit $failed
