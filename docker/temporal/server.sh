#!/bin/sh
# The server of the image, with the password of its database out of a file.
set -eu
POSTGRES_PWD=$(cat "${SECRETS:-/run/secrets}/temporal_password")
export POSTGRES_PWD
exec "${TEMPORAL_ENTRYPOINT:-/etc/temporal/entrypoint.sh}" "$@"
