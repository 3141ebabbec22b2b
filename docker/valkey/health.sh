#!/bin/sh
# Exit code 0 if the server answers.
set -eu
REDISCLI_AUTH=$(cat "${SECRETS:-/run/secrets}/valkey_password")
export REDISCLI_AUTH
valkey-cli "$@" ping | grep -q PONG
