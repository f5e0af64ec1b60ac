#!/bin/sh
# Make the cluster, the user and the database when the volume is empty; then become the server.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # The password goes in on standard input: a command line can be seen by everybody.
    pg_ctl --wait --silent --log=/dev/stderr --options="-c listen_addresses=''" start
    printf "CREATE ROLE %s LOGIN PASSWORD '%s';\nCREATE DATABASE %s OWNER %s;\n" \
        "$POSTGRES_USER" "$(cat "$POSTGRES_PASSWORD_FILE")" "$POSTGRES_DB" "$POSTGRES_USER" |
        psql --username=postgres --quiet --set ON_ERROR_STOP=1
    pg_ctl --wait --silent --mode=fast stop
fi
exec "$@"
