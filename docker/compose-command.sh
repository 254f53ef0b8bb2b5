# The array `compose`: the command that demo.sh and smoke.sh run, $BERGMILL_COMPOSE if it is set. Read by them, after they
# have defined `fail`.
# shellcheck shell=bash
docker info >/dev/null 2>&1 || fail "no Docker engine is running"
if [[ -n ${BERGMILL_COMPOSE:-} ]]; then
    read -ra compose <<<"$BERGMILL_COMPOSE"
elif docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
else
    compose=(docker-compose)
fi
