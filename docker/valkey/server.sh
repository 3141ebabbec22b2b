#!/bin/sh
# The configuration comes on standard input, so that the password stands in no command line and in no variable.
set -eu
exec valkey-server - <<END
requirepass $(cat "${SECRETS:-/run/secrets}/valkey_password")
bind ${VALKEY_BIND:-*}
port ${VALKEY_PORT:-6379}
appendonly yes
maxmemory ${VALKEY_MAXMEMORY:-400mb}
maxmemory-policy volatile-lru
END
