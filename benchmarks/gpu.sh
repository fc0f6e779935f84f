#!/usr/bin/env bash
# Everything that is measured on a graphics card, in parts.
#
#   benchmarks/gpu.sh [PART ...]   parts: correctness cifar imagenet compile inference
#                                  without one: correctness cifar inference, which fit into ten minutes
#
# Needs: an NVIDIA card; python3 (PYTHON=... for another) with torch built for CUDA, Triton and pytest; hypothesis and
# numpy for correctness; torchvision for imagenet. No network, nothing is installed: the package is read from src/.
#
# Results go to results/benchmarks/. Where OUT names a folder, OUT/log.txt has the output and OUT/results.tar.gz all
# results, renewed after every step. A step that fails or takes too long does not stop the others. LIMIT (570) is the
# number of seconds after which no further step is begun, and to which the last one is cut.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

PYTHON="${PYTHON:-python3}"
LIMIT="${LIMIT:-570}"
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=()

# step SECONDS COMMAND...: at most so many seconds, and no more than are left
step() {
    local most="$1" left=$((LIMIT - SECONDS)) status=0
    shift
    echo "== $* (at $SECONDS s)"
    if [ "$left" -lt 10 ]; then
        status=skipped
    else
        timeout "$((most < left ? most : left))" "$@" || status=$?
    fi
    [ "$status" = 0 ] || failed+=("$status: $*")
    [ -z "${OUT:-}" ] || tar -czf "$OUT/results.tar.gz" results
}

bench() {
    local most="$1" name="$2"
    shift 2
    step "$most" "$PYTHON" -m "benchmarks.$name" --device cuda --dtype bfloat16 "$@"
}

correctness() { step 220 "$PYTHON" -m pytest -q -p no:cacheprovider tests/kernels tests/linalg tests/nn; }

cifar() {
    bench 130 training_step --arch resnet18 --graph --profile paper
    bench 130 training_step --arch vgg11 --graph --profile paper
    bench 100 training_step --arch resnet18 --dtype float32
}

imagenet() {
    bench 280 training_step --imagenet --arch resnet50 --rounds 10 --profile default
    bench 200 training_step --imagenet --arch resnet18 --rounds 10
}

# Compiling takes minutes a network: fewer variants.
compile() { bench 400 training_step --compile --arch resnet18 --variants none batch_norm default channel; }

inference() {
    bench 80 inference --arch resnet18 --repeat 5
    bench 80 inference --arch vgg11 --repeat 5
}

run() {
    "$PYTHON" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name())' || {
        echo "no CUDA here: $PYTHON has no torch that sees a CUDA device"
        return 1
    }
    "$PYTHON" -c 'import triton; print("triton", triton.__version__)' || echo "no Triton: kernels fall back to torch"
    local part
    for part in "$@"; do
        "$part"
    done
    echo "== finished after $SECONDS s, ${#failed[@]} steps failed or were skipped"
    [ "${#failed[@]}" -eq 0 ] || printf '   %s\n' "${failed[@]}"
    [ "${#failed[@]}" -eq 0 ]
}

[ "$#" -gt 0 ] || set -- correctness cifar inference
for part in "$@"; do
    case "$part" in
        correctness | cifar | imagenet | compile | inference) ;;
        *)
            sed -n '2,12s/^# \{0,1\}//p' benchmarks/gpu.sh
            echo "no such part: $part"
            exit 2
            ;;
    esac
done
if [ -n "${OUT:-}" ]; then
    mkdir -p "$OUT"
    run "$@" 2>&1 | tee "$OUT/log.txt"
else
    run "$@"
fi
