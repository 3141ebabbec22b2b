#!/bin/sh
# An S3 server over a folder; a bucket is a folder in it.
set -eu
secrets=${SECRETS:-/run/secrets}
ROOT_ACCESS_KEY=$(cat "$secrets/objects_access_key")
ROOT_SECRET_KEY=$(cat "$secrets/objects_secret_key")
export ROOT_ACCESS_KEY ROOT_SECRET_KEY
mkdir -p "${OBJECTS_FOLDER:-/data}/structforge"
exec versitygw --port :7070 --health /health posix "${OBJECTS_FOLDER:-/data}"
