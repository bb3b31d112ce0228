#!/usr/bin/env bash
# Trains the weights that ship, in pieces, on whatever machine is at hand: each call goes on where the last one stopped.
#   bash benchmarks/train_weights.sh RECIPE FOOTAGE RUN MINUTES [flags of tween train]
#   bash benchmarks/train_weights.sh recipes/weights-rife-4.25.yaml footage/1 runs/default 8 --device cuda --precision bf16 --data.workers 14
# After MINUTES of this call it stops politely (the recipe's own `minutes` are those of all calls together) and what is
# larger than 15 MB is cut into RUN/*.part-NN, so that every file can travel; the next call joins them first.
set -euo pipefail
recipe=$1 footage=$2 run=$3 minutes=$4
shift 4
mkdir -p "$run"
for first in "$run"/*.part-00; do
    [ -e "$first" ] || continue
    whole=${first%.part-00}
    cat "$whole".part-* > "$whole.joined"
    mv "$whole.joined" "$whole"
    rm "$whole".part-*
done
code=0
timeout --signal INT "$(awk "BEGIN { print int(60 * $minutes) }")" \
    "${PYTHON:-python}" -m tween train "$recipe" --data.root "$footage" --run "$run" "$@" || code=$?
find "$run" -maxdepth 1 -type f -size +15M ! -name '*.part-*' | while read -r file; do
    split -b 15M -d "$file" "$file.part-"
    rm "$file"
done
case $code in 0 | 124 | 130) ;; *) exit "$code" ;; esac
