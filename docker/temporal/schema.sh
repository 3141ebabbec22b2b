#!/bin/sh
# Brings both of Temporal's databases to the schema of this server version; runs again harmlessly.
set -eu
SQL_PASSWORD=$(cat "${SECRETS:-/run/secrets}/temporal_password")
export SQL_PASSWORD
migrate() {
    tool="temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db $1"
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$2/versioned"
}
migrate temporal temporal
migrate temporal_visibility visibility
