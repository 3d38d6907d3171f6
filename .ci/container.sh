#!/usr/bin/env bash
# Builds the image and checks what it promises, with podman, as root; ends at the first promise that is broken.
# Everything runs confined as a careful user would have it: read-only root, no capabilities, 512 MB, one CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot

image=localhost/senet:test
name=senet-test-$$
port=${SENET_TEST_PORT:-18080}
url=http://127.0.0.1:$port
photograph=tests/fixtures/chelsea.png
size_limit=40000000
scratch=$(mktemp -d)
passed=0

# --runtime runc and the ulimits: crun refuses hybrid cgroups, and a sandbox may not raise its own limits.
pod() { podman --runtime runc --cgroup-manager cgroupfs "$@"; }

clean_up() {
  local status=$?
  if ((status)); then pod logs "$name" 2>&1 | tail -n 50 || true; fi
  pod rm --force --time 1 "$name" >"$scratch/rm" 2>&1 || true
  rm -rf "$scratch"
}
trap clean_up EXIT

check() {
  if "${@:2}"; then
    passed=$((passed + 1))
    echo "ok    $1"
  else
    echo "FAILED  $1" >&2
    exit 1
  fi
}

# start [podman option]...: a confined container that has become ready.
start() {
  pod rm --force --time 1 "$name" >/dev/null 2>&1 || true
  pod run --detach --name "$name" --network host --env "SENET_HTTP_ADDR=0.0.0.0:$port" \
    --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges \
    --memory 512m --memory-swap 512m --cpus 1 --pids-limit 128 --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 \
    "$@" "$image" >/dev/null
  becomes_ready
}

becomes_ready() {
  for _ in {1..150}; do
    if pod healthcheck run "$name" >/dev/null 2>&1; then return 0; fi
    if [[ $(inspect '{{.State.Running}}') != true ]]; then return 1; fi
    sleep 0.2
  done
  return 1
}

inspect() { pod inspect "$name" --format "$1"; }
status_of() { curl --silent --max-time 30 --output "$scratch/body" --write-out '%{http_code}' "$@"; }
answers() { [[ $(status_of "${@:2}") == "$1" ]]; }
body_has() { jq --exit-status "$1" "$scratch/body" >/dev/null; }
classifies_the_photograph() {
  answers 200 --data-binary "@$photograph" "$url/v1/classify" \
    && body_has '.predictions[0].label == "cat"' && body_has '(.attention.blocks | length) > 0'
}

image_is_small() {
  local bytes
  bytes=$(podman image inspect "$image" --format '{{.Size}}')
  echo "      $((bytes / 1000000)) MB"
  ((bytes <= size_limit))
}

image_is_described() {
  podman image inspect "$image" >"$scratch/image"
  jq --exit-status '.[0] | .Config.User == "65532:65532" and .Config.StopSignal == "SIGTERM" and .Healthcheck.Test[-1] == "healthcheck"
    and (.Config.ExposedPorts | has("8080/tcp")) and .Config.Volumes == null
    and (.Config.Env | index("SENET_HTTP_ADDR=0.0.0.0:8080") and index("SENET_MODELS_CACHE=/cache"))' "$scratch/image" >/dev/null
}

process_status() { grep --perl-regexp "$1" "/proc/$(inspect '{{.State.Pid}}')/status" >/dev/null; }
runs_without_privileges() {
  process_status '^Uid:\t65532\t65532\t65532\t65532$' && process_status '^CapEff:\t0+$' && process_status '^CapBnd:\t0+$' \
    && process_status '^NoNewPrivs:\t1$'
}

answers_the_probes() { answers 200 "$url/livez" && answers 200 "$url/readyz" && answers 200 "$url/health"; }

metrics_are_there() {
  answers 200 "$url/metrics" && grep --quiet '^senet_build_info{' "$scratch/body" && grep --quiet '^senet_model_ready{.*} 1$' "$scratch/body"
}

# The machine has more cores than the one that the container may use. A pipe would break under the one who writes the log when grep has seen enough.
works_on_one_cpu() {
  pod logs "$name" >"$scratch/log" 2>&1
  grep --quiet '"workers":1\b' "$scratch/log"
}

# 49 million pixels, just inside the limit: 147 MB decoded, eight requests at once.
survives_large_pictures() {
  python3 - "$scratch/large.png" <<'PY'
import struct, sys, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
side = 7000
with open(sys.argv[1], "wb") as out:
    out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
              + chunk(b"IDAT", zlib.compress(bytes(1 + 3 * side) * side, 1)) + chunk(b"IEND", b""))
PY
  local requests=()
  for n in {1..8}; do
    curl --silent --max-time 60 --output /dev/null --write-out '%{http_code}\n' --data-binary "@$scratch/large.png" "$url/v1/classify" >"$scratch/large.$n" &
    requests+=($!)
  done
  wait "${requests[@]}"
  [[ $(cat "$scratch"/large.? | sort --unique) == 200 ]] && [[ $(inspect '{{.State.Running}}') == true ]]
}

# The photograph trickles in for longer than the grace of a stop, so that the signal falls into the request.
stops_after_the_request_under_way() {
  local bytes request
  bytes=$(stat --format %s "$photograph")
  status_of --limit-rate $((bytes / 5)) --data-binary "@$photograph" "$url/v1/classify" >"$scratch/status" &
  request=$!
  sleep 1
  pod stop --time 30 "$name" >/dev/null
  wait $request
  [[ $(cat "$scratch/status") == 200 ]] && body_has '.predictions[0].label == "cat"' && [[ $(inspect '{{.State.ExitCode}}') == 0 ]]
}

serves_a_mounted_folder() {
  mkdir "$scratch/models" && cp -r models/cifar10_se_resnet "$scratch/models/mounted"
  sed --in-place 's/^name = .*/name = "mounted"/' "$scratch/models/mounted/model.toml"
  chmod -R a+rX "$scratch"
  start --volume "$scratch/models:/models:ro" --env SENET_MODELS=/models
  answers 200 "$url/v1/models/mounted" && classifies_the_photograph && body_has '.model.name == "mounted"'
}

# A volume takes over the rights of the folder that it is mounted at; the store is a port where nobody listens.
says_what_an_object_store_lacks() {
  local said
  said=$(pod run --rm --network host --read-only --read-only-tmpfs=false --cap-drop all \
    --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --volume "$name:/cache" \
    --env AWS_ENDPOINT=http://127.0.0.1:9 --env AWS_ALLOW_HTTP=true --env AWS_SKIP_SIGNATURE=true \
    "$image" serve --models s3://bucket/models --models-patience 0s 2>&1 || true)
  pod volume rm "$name" >/dev/null
  grep --quiet 'cannot reach s3://bucket/models' <<<"$said"
}

.ci/base-images.sh
buildah build --format docker --layers --pull-never --network host --tag "$image" .

check "the image is at most $((size_limit / 1000000)) MB" image_is_small
check "the image names its user, port, stop signal and health check, and no volume" image_is_described
check "it becomes ready by its own health check, on a read-only root with 512 MB and one CPU" start
check "it answers the probes" answers_the_probes
check "it serves metrics with its model ready" metrics_are_there
check "it classifies a photograph, with attention" classifies_the_photograph
check "it refuses a text" answers 415 --data-binary @Cargo.toml "$url/v1/classify"
check "it runs as a numeric user without capabilities or ways to new privileges" runs_without_privileges
check "it starts one worker for one CPU" works_on_one_cpu
check "it keeps to its memory under eight of the largest pictures" survives_large_pictures
check "it classifies the photograph after that" classifies_the_photograph
check "it answers the request under way when it is stopped, and exits 0" stops_after_the_request_under_way
check "it serves a folder mounted at /models" serves_a_mounted_folder
check "it asks object stores, with a volume as its cache" says_what_an_object_store_lacks
echo "$passed passed, 0 failed"
