#!/bin/bash
# Runs once, on an empty volume: a role for each user of the database, none of them superuser or above row security.
set -euo pipefail
secrets=${SECRETS:-/run/secrets}
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
    --set owner_password="$(cat "$secrets/owner_password")" \
    --set app_password="$(cat "$secrets/app_password")" \
    --set temporal_password="$(cat "$secrets/temporal_password")" <<'SQL'
CREATE ROLE structforge_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'owner_password';
CREATE ROLE structforge_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'app_password';
CREATE DATABASE structforge OWNER structforge_owner;
REVOKE ALL ON DATABASE structforge FROM PUBLIC;
GRANT CONNECT ON DATABASE structforge TO structforge_app;
CREATE ROLE temporal LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
SQL
