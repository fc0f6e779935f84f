#!/usr/bin/env bash
# Everything that is measured on a graphics card, in parts that fit into ten minutes each.
#
#   benchmarks/gpu.sh [PART ...]        parts: correctness cifar imagenet compile graphs layers inference pipeline
#                                       accuracy; without one: correctness cifar graphs
#
# Needs: an NVIDIA card; python3 (PYTHON=... for another) with torch built for CUDA, Triton and pytest; torchvision for
# imagenet and compile; the extra "train" for pipeline and accuracy; hypothesis and numpy for correctness; DATA, a folder
# with CIFAR-10, for accuracy. No network, nothing is installed: the package is read from src/.
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

save() {
    [ -n "${OUT:-}" ] && tar -czf "$OUT/results.tar.gz" results
}

# step SECONDS COMMAND...: at most so many seconds, and no more than are left
step() {
    local most="$1" left=$((LIMIT - SECONDS)) status
    shift
    if [ "$left" -lt 10 ]; then
        echo "== skipped, no time left: $*"
        failed+=("skipped: $*")
        return
    fi
    echo "== $* (at $SECONDS s)"
    timeout "$((most < left ? most : left))" "$@"
    status=$?
    if [ "$status" -ne 0 ]; then
        echo "== exit status $status: $*"
        failed+=("exit status $status: $*")
    fi
    save
}

bench() {
    local most="$1" name="$2"
    shift 2
    step "$most" "$PYTHON" -m "benchmarks.$name" --device cuda "$@"
}

correctness() {
    local folders=() folder
    for folder in tests/kernels tests/linalg tests/nn; do
        [ -d "$folder" ] && folders+=("$folder")
    done
    step 200 "$PYTHON" -m pytest -q -p no:cacheprovider "${folders[@]}"
}

cifar() {
    bench 120 training_step --arch resnet18 --dtype bfloat16 --profile full
    bench 120 training_step --arch vgg11 --dtype bfloat16 --profile full
    bench 120 training_step --arch resnet18 --dtype float32
}

imagenet() {
    bench 280 training_step --imagenet --arch resnet50 --dtype bfloat16 --rounds 10 --profile default
    bench 200 training_step --imagenet --arch resnet18 --dtype bfloat16 --rounds 10 --profile default
}

# Compiling takes minutes a network: fewer variants, one architecture a call fits.
compile() {
    local some=(no_norm batch_norm default channel)
    bench 280 training_step --compile --arch resnet18 --dtype bfloat16 --variants "${some[@]}" full16 full
    bench 280 training_step --compile --imagenet --arch resnet18 --dtype bfloat16 --rounds 10 --variants "${some[@]}"
    bench 400 training_step --compile --imagenet --arch resnet50 --dtype bfloat16 --rounds 10 --variants "${some[@]}"
}

graphs() {
    bench 120 cuda_graph --arch resnet18 --dtype bfloat16 --variants batch_norm default channel full16 full
    bench 120 cuda_graph --arch vgg11 --dtype bfloat16 --variants batch_norm default channel full16 full
}

layers() {
    bench 280 layers --dtype bfloat16
    bench 280 layers --dtype float32
}

inference() {
    bench 100 inference --arch resnet18 --dtype bfloat16 --repeat 5
    bench 100 inference --arch vgg11 --dtype bfloat16 --repeat 5
    bench 150 inference --imagenet --arch resnet50 --dtype bfloat16 --rounds 15
}

pipeline() {
    bench 150 pipeline --arch resnet18 --dtype bfloat16 --rounds 200
    bench 150 pipeline --arch vgg11 --dtype bfloat16 --rounds 200
}

accuracy() {
    if [ -z "${DATA:-}" ]; then
        echo "== accuracy needs DATA, a folder with CIFAR-10"
        failed+=("accuracy: DATA is not set")
        return
    fi
    step 560 "$PYTHON" -m benchmarks.accuracy "${EXPERIMENT:-vgg11-three-epochs}" --data-dir "$DATA" \
        --runs "${OUT:-runs}/accuracy"
}

run() {
    if ! "$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())'; then
        echo "no CUDA here: $PYTHON has no torch that sees a CUDA device"
        return 1
    fi
    "$PYTHON" -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name())'
    "$PYTHON" -c 'import triton; print("triton", triton.__version__)' || echo "no Triton: kernels fall back to torch"
    local part
    for part in "$@"; do
        "$part"
    done
    echo "== finished after $SECONDS s, ${#failed[@]} steps failed or were skipped"
    [ "${#failed[@]}" -eq 0 ] || printf '   %s\n' "${failed[@]}"
    [ "${#failed[@]}" -eq 0 ]
}

[ "$#" -gt 0 ] || set -- correctness cifar graphs
for part in "$@"; do
    case "$part" in
        correctness | cifar | imagenet | compile | graphs | layers | inference | pipeline | accuracy) ;;
        *)
            sed -n '2,14s/^# \{0,1\}//p' benchmarks/gpu.sh
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
