#!/usr/bin/env bash
# Tests the cluster in containers, from the build to its removal: docker/smoke.sh
#
# Builds the images, starts the cluster with four executors and Kafka, and runs docker/smoke.py, which loads tables, runs the pipelines, checks the
# results, kills an executor in the middle of a query, scales to two and to six while queries run, and checks what Prometheus sees of that. Then everything
# is removed, including volumes, and docker/demo.sh runs with a small shop. Needs a Docker engine, compose v2 or docker-compose 1.29, and python3 with venv.
#   BERGMILL_SMOKE_BINARY    a bergmill for the image, instead of compiling it in a container (for Debian 12)
#   BERGMILL_SMOKE_MINIO     a minio for its image, instead of compiling it in a container
#   BERGMILL_SMOKE_BASES     1: build substitutes for the public images with docker/bases/make, if no registry can be reached
#   BERGMILL_SMOKE_EVENTS    rows of raw.shopping_events  (default 200000)
#   BERGMILL_BUILD_NETWORK   network of the builds  (default: the builder's; `host` if containers have no network access)
#   BERGMILL_COMPOSE         the compose command  (default `docker compose` if there is one, else `docker-compose`)
#   BERGMILL_CI_TOOLS        folder of the Python environment  (default ~/.cache/bergmill/tools)
# The last line counts the checks; the exit code is 0 if all have passed.
set -Eeuo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)

tools=${BERGMILL_CI_TOOLS:-$HOME/.cache/bergmill/tools}
venv=$tools/interop-venv
network=${BERGMILL_BUILD_NETWORK:-default}
fail() { printf 'docker/smoke.sh: %s\n' "$*" >&2; exit 1; }
step() { printf '\n--- [%3d s] %s\n' "$SECONDS" "$*"; }

# shellcheck source=docker/compose-command.sh
. "$here/compose-command.sh"
# Its own project and images, on free ports, so it never touches a cluster that is in use.
compose+=(-p "bergmill-smoke-$$" -f "$here/compose.yaml")
export BERGMILL_IMAGE=bergmill-smoke BERGMILL_MINIO_IMAGE=bergmill-smoke-minio
export BERGMILL_PORT=0 BERGMILL_MINIO_PORT=0 BERGMILL_MINIO_CONSOLE_PORT=0 BERGMILL_POSTGRES_PORT=0 BERGMILL_PROMETHEUS_PORT=0
# Kafka tells clients its published port, so that must be known before.
BERGMILL_KAFKA_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export BERGMILL_KAFKA_PORT

folder=$(mktemp -d "${TMPDIR:-/tmp}/bergmill-smoke.XXXXXX")
child=
finish() {
    local code=$?
    trap - EXIT
    if [[ -n $child ]] && kill "$child" 2>/dev/null; then wait "$child" || true; fi
    if ((code)); then timeout 60 "${compose[@]}" logs --tail 40 2>&1 | tail -200 || true; fi
    step "down"
    timeout 300 "${compose[@]}" --profile stream down --volumes --remove-orphans --timeout 10 >"$folder/down.log" 2>&1 || cat "$folder/down.log"
    rm -rf "$folder"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# within SECONDS COMMAND...: runs it in the background, so that this script reacts to a signal at once.
within() {
    timeout --kill-after=10 "$@" &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    if ((code == 124 || code == 137)); then printf '%s did not end within %d s\n' "$2" "$1" >&2; fi
    return "$code"
}
# quiet NAME SECONDS COMMAND...: shows its output only if it fails.
quiet() {
    within "${@:2}" >"$folder/$1.log" 2>&1 || { tail -50 "$folder/$1.log"; fail "$1 failed"; }
}

# prebuilt SERVICE IMAGE FILE NAME BUILD...: builds the image from its runtime stage and an existing binary.
prebuilt() {
    [[ -x $3 ]] || fail "no binary at $3"
    mkdir "$folder/$1"
    cp "$3" "$folder/$1/$4"
    chmod 755 "$folder/$1/$4"
    quiet "build of $1" 1800 docker build --network "$network" --target runtime --tag "$2-runtime" "${@:5}"
    printf 'FROM %s-runtime\nCOPY %s /usr/local/bin/\n' "$2" "$4" >"$folder/$1/Dockerfile"
    quiet "build of $1" 600 docker build --tag "$2" "$folder/$1"
}

if [[ ${BERGMILL_SMOKE_BASES:-} == 1 ]]; then
    bases=(debian postgres prometheus kafka)
    if [[ -z ${BERGMILL_SMOKE_BINARY:-} ]]; then bases+=(rust); fi
    if [[ -z ${BERGMILL_SMOKE_MINIO:-} ]]; then bases+=(golang); fi
    step "substitutes: ${bases[*]}"
    within 3600 "$here/bases/make" "${bases[@]}"
fi
step "images"
if [[ -n ${BERGMILL_SMOKE_BINARY:-} ]]; then
    prebuilt scheduler "$BERGMILL_IMAGE" "$BERGMILL_SMOKE_BINARY" bergmill --file "$here/Dockerfile" "$root"
else
    quiet "build of bergmill" 7200 "${compose[@]}" build scheduler
fi
if [[ -n ${BERGMILL_SMOKE_MINIO:-} ]]; then
    prebuilt minio "$BERGMILL_MINIO_IMAGE" "$BERGMILL_SMOKE_MINIO" minio "$here/minio"
else
    quiet "build of minio" 7200 "${compose[@]}" build minio
fi
docker image ls --format '{{.Repository}} {{.Size}}' | grep -E '^bergmill-smoke(-minio)? '
if [[ -z ${BERGMILL_SMOKE_BINARY:-} ]]; then
    (($(docker image inspect --format '{{.Size}}' "$BERGMILL_IMAGE") < 150000000)) || fail "Bergmill's image is not under 150 MB"
fi

step "Python environment $venv"
wanted=$(cat <(python3 --version) "$root/tests/interop/requirements.txt" | sha256sum | cut -c1-16)
if [[ $(cat "$venv/.made-for" 2>/dev/null) != "$wanted" ]]; then
    within 60 python3 -m venv --clear "$venv"
    within 600 "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$root/tests/interop/requirements.txt"
    echo "$wanted" >"$venv/.made-for"
fi

step "rules and configuration of Prometheus"
for check in "check config /etc/prometheus/prometheus.yml" "test rules /etc/prometheus/alerts_test.yml"; do
    read -ra arguments <<<"$check"
    within 60 "${compose[@]}" run --rm --no-deps -T --volume "$here/alerts_test.yml:/etc/prometheus/alerts_test.yml:ro" \
        --entrypoint promtool prometheus "${arguments[@]}"
done

step "up, with four executors"
quiet up 600 "${compose[@]}" up -d --scale executor=4
step "up, with Kafka"
quiet kafka 600 "${compose[@]}" --profile stream up -d --no-recreate --scale executor=4

step "checks"
SMOKE_COMPOSE="${compose[*]}" within 1800 "$venv/bin/python" -u -B "$here/smoke.py" "${BERGMILL_SMOKE_EVENTS:-200000}"

step "docker/demo.sh, with a small shop"
quiet down 300 "${compose[@]}" --profile stream down --volumes --timeout 10
BERGMILL_DEMO_EVENTS=50000 BERGMILL_DEMO_EXECUTORS="1 2" BERGMILL_DEMO_REPEAT=1 within 900 "$here/demo.sh"
