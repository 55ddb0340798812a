#!/bin/sh
# Every GPU run that docs/gpu.md names, one after the other, each into a folder of its own:
#   configs/gpu/all.sh PYTHON OUT [NAME ...]      all of them, or only those named; TRACE=FILE adds the trace's
# A run that fails is named at the end and does not stop the others. A run whose folder exists is not repeated.
# SET="KEY=VALUE ..." changes every run that starts an engine, as SET=protocol.seconds=25 does.
set -u
python=$1 out=$2
shift 2
wanted=" $* "
failed=

go() {  # NAME CONFIG OVERRIDE ...
    name=$1 config=$2
    shift 2
    case "$wanted" in "  " | *" $name "*) ;; *) return ;; esac
    [ ! -e "$out/$name" ] || { echo "== $name: $out/$name is there"; return; }
    echo "== $name"
    case "$config" in micro/*) ;; *) set -- "$@" ${SET:-} ;; esac
    for override; do set -- "$@" --set "$override"; shift; done
    "$python" -m harness run "configs/$config.yaml" --out "$out/$name" "$@" || failed="$failed $name"
}

for runner in v1 v2; do
    go "gpu-$runner-decode-32" gpu/decode "host.model_runner=$runner"
    go "gpu-$runner-prefill-8k" gpu/prefill "host.model_runner=$runner"
    go "gpu-$runner-decode-1" gpu/decode "host.model_runner=$runner" workload.requests=1
    go "gpu-$runner-decode-256" gpu/decode "host.model_runner=$runner" workload.requests=256
    go "gpu-$runner-decode-32-eager" gpu/decode "host.model_runner=$runner" engine.enforce_eager=true
    go "gpu-$runner-decode-32-synchronous-scheduling" gpu/decode "host.model_runner=$runner" \
        engine.async_scheduling=false
    go "gpu-$runner-decode-32-sync-timers" gpu/decode "host.model_runner=$runner" protocol.sync=true
    go "gpu-$runner-decode-32-8b" gpu/decode "host.model_runner=$runner" engine.model=../models/llama-8b
    [ -z "${TRACE:-}" ] || go "gpu-$runner-trace" gpu/trace "host.model_runner=$runner" "workload.file=$TRACE"
done
go gpu-loop settings/gpu_loop       # asynchronous scheduling or not, V1 or V2: engines by turns
go gpu-slot_mapping slot_mapping    # the main job as it stands: device auto takes the GPU
go gpu-planted planted              # whether planted delays are recovered
go gpu-micro micro/all
go gpu-copies micro/copy_to_gpu

[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
