#!/bin/sh
# The parts of the public image's entry point that docker/compose.yaml uses: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, and a server that
# runs as the user postgres.
set -eu
if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"; fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf '%s\n' "${POSTGRES_PASSWORD:?is not set}" >/tmp/password
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # No outside connections while the database is being created.
    pg_ctl -w start -o "-c listen_addresses=''" >/dev/null
    if [ "$POSTGRES_DB" != postgres ]; then createdb --username="$POSTGRES_USER" "$POSTGRES_DB"; fi
    pg_ctl -w stop -m fast >/dev/null
fi
unset POSTGRES_PASSWORD PGPASSWORD
exec "$@" -c listen_addresses='*'
