#!/usr/bin/env bash
# The whole cluster, shown: docker/demo.sh
#
# Starts the cluster of compose.yaml with a project, tables and secrets of its own, generates a shop into it, says where to look, runs three jobs of
# daily_analytics on 1, 2 and 4 executors with equal shares of the CPU, prints how long they took, and removes everything, also when it is interrupted.
# Needs Docker with compose v2, or docker-compose 1.29.
#   BERGMILL_DEMO_EVENTS      rows of raw.shopping_events  (default 2000000)
#   BERGMILL_DEMO_EXECUTORS   numbers of executors  (default "1 2 4")
#   BERGMILL_DEMO_REPEAT      runs of each job, of which the median counts; one more runs first, to warm up  (default 3)
#   BERGMILL_DEMO_PAUSE       1: wait for Enter before the cluster is removed
#   BERGMILL_EXECUTOR_CPUS    cores of each executor  (default: nine tenths of the machine by the largest number of executors, at most 1)
#   BERGMILL_COMPOSE          the compose command  (default `docker compose` if there is one, else `docker-compose`)
# Ports and images: docs/docker.md.
set -Eeuo pipefail
here=$(cd "$(dirname "$0")" && pwd)

events=${BERGMILL_DEMO_EVENTS:-2000000}
read -ra sizes <<<"${BERGMILL_DEMO_EXECUTORS:-1 2 4}"
repeat=${BERGMILL_DEMO_REPEAT:-3}
day=2026-02-14
jobs=(aggregate_daily_sales analyze_reviews check_data_quality)
declare -A titles=(
    [aggregate_daily_sales]="daily aggregation" [analyze_reviews]="review analysis" [check_data_quality]="data quality"
)
fail() { printf 'docker/demo.sh: %s\n' "$*" >&2; exit 1; }
step() { printf '\n--- [%3d s] %s\n' "$SECONDS" "$*"; }

# shellcheck source=docker/compose-command.sh
. "$here/compose-command.sh"
project=bergmill-demo-$$
compose+=(-p "$project" -f "$here/compose.yaml")

largest=$(printf '%s\n' "${sizes[@]}" | sort -n | tail -1)
share() { awk -v cores="$(nproc)" -v n="$largest" 'BEGIN { s = int(cores * 90 / n) / 100; print s < 1 ? s : 1 }'; }
export BERGMILL_EXECUTOR_CPUS=${BERGMILL_EXECUTOR_CPUS:-$(share)}
# All queries run on executors, however small.
export BERGMILL_LOCAL_QUERY_BYTES=0

exec 3>&1 4>&2
folder=$(mktemp -d "${TMPDIR:-/tmp}/bergmill-demo.XXXXXX")
child=
finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    # The interrupted command may have been redirected.
    exec >&3 2>&4
    if [[ -n $child ]] && kill "$child" 2>/dev/null; then wait "$child" || true; fi
    if ((code != 0 && code < 128)); then "${compose[@]}" logs --tail 20 2>&1 | tail -100 || true; fi
    step "down: containers, tables and secrets are removed"
    "${compose[@]}" down --volumes --remove-orphans --timeout 10 >"$folder/down.log" 2>&1 || cat "$folder/down.log"
    rm -rf "$folder"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# run COMMAND...: runs it in the background, so that this script reacts to a signal at once.
run() {
    "$@" </dev/null &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    return "$code"
}
# quiet NAME COMMAND...: runs it, and shows its output only if it fails.
quiet() { run "${@:2}" >"$folder/$1.log" 2>&1 || { tail -50 "$folder/$1.log" >&2; fail "$1 failed"; }; }
# The password of the first user, in the scheduler's container.
password=/tmp/password
bergmill() { run "${compose[@]}" exec -T -e "BERGMILL_PASSWORD_FILE=$password" scheduler bergmill "$@"; }
# at SERVICE PORT: the published address.
at() { "${compose[@]}" port "$1" "$2"; }

# scale N: runs N executors, and waits until the scheduler has exactly these.
scale() {
    quiet scale "${compose[@]}" up -d --no-recreate --scale "executor=$1" executor
    local count tries
    for ((tries = 0; tries < 120; tries++)); do
        bergmill sql --format csv -e "SELECT count(*) FROM system.executors" >"$folder/executors" 2>&1 || true
        count=$(tail -1 "$folder/executors")
        if [[ $count == "$1" ]]; then return; fi
        sleep 0.5
    done
    fail "$1 executors were started, but the scheduler has $count"
}

# seconds JOB: runs it, and prints its time in seconds.
seconds() {
    quiet "$1" bergmill job run daily_analytics --date "$day" --step "$1"
    sed -nE 's/.*: done in ([0-9.]+) s$/\1/p' "$folder/$1.log"
}
median() { sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }

step "up: MinIO, Postgres, scheduler, executor, Prometheus"
for image in "scheduler ${BERGMILL_IMAGE:-bergmill}" "minio ${BERGMILL_MINIO_IMAGE:-bergmill-minio}"; do
    # The first time, which takes about forty minutes.
    docker image inspect "${image#* }" >/dev/null 2>&1 || run "${compose[@]}" build "${image% *}"
done
quiet up "${compose[@]}" up -d --scale executor=1
quiet password "${compose[@]}" exec -T scheduler sh -c "umask 077 && bergmill user initial-password >$password"

step "load: a shop with $events events"
scale 1
quiet load bergmill demo --events "$events" --reviews "$((events / 20))"

step "where to look"
compose_command="${compose[*]}"
cat <<END
  tables       $compose_command exec scheduler bergmill sql
  front door   grpc+tls://$(at scheduler 50051), for Flight SQL clients; user admin, with the password and the authority that these print:
               $compose_command exec scheduler cat $password
               $compose_command exec scheduler cat /run/bergmill/door/ca.pem
  Prometheus   http://$(at prometheus 9090), alerts: http://$(at prometheus 9090)/alerts
  files        http://$(at minio 9001), with the keys that this prints:
               $compose_command exec scheduler cat /run/bergmill/storage/.env
END

step "three jobs over $events events, on executors with $BERGMILL_EXECUTOR_CPUS cores each"
declare -A took
for size in "${sizes[@]}"; do
    scale "$size"
    for job in "${jobs[@]}"; do
        seconds "$job" >/dev/null
        for ((n = 0; n < repeat; n++)); do seconds "$job"; done >"$folder/times"
        took[$job,$size]=$(median <"$folder/times")
        printf '  on %d: %-18s %s s\n' "$size" "${titles[$job]}" "${took[$job,$size]}"
    done
done

step "seconds (median of $repeat runs), by number of executors"
{
    printf '%-20s' job
    printf '%10s' "${sizes[@]}"
    printf '%12s\n' "speed-up"
    for job in "${jobs[@]}"; do
        printf '%-20s' "${titles[$job]}"
        for size in "${sizes[@]}"; do printf '%10s' "${took[$job,$size]}"; done
        awk -v a="${took[$job,${sizes[0]}]}" -v b="${took[$job,${sizes[-1]}]}" 'BEGIN { printf "%12.2f\n", (b > 0 ? a / b : 0) }'
    done
}
step "tasks of each executor, as Prometheus has scraped them"
# A scrape after the last job.
run sleep 6
run "${compose[@]}" exec -T prometheus promtool query instant http://127.0.0.1:9090 'sum by (instance) (bergmill_tasks_total{outcome="finished"})'

if [[ ${BERGMILL_DEMO_PAUSE:-} == 1 ]]; then read -rp "Enter removes the cluster. "; fi
