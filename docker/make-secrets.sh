#!/bin/sh
# Makes every secret that the compose file mounts, each a file in docker/secrets/ (or the folder given); those that are
# there already stay as they are. The folder is its owner's alone; the files in it can be read by the users of the
# containers, whose numbers differ.
set -eu
umask 077
folder=${1:-"$(dirname "$0")/secrets"}
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
    [ -e "$folder/$1" ] && return
    printf '%s\n' "$2" >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "made $folder/$1"
}
value() { cat "$folder/$1"; }

for name in postgres_password owner_password app_password temporal_password valkey_password grafana_password \
    objects_access_key objects_secret_key token_key; do
    keep "$name" "$(random)"
done
keep api_key "sf_$(random)"
keep encryption_keys "{\"active\": \"first\", \"keys\": {\"first\": \"$(head -c 32 /dev/urandom | base64 | tr -d '\n')\"}}"
keep database_url "postgresql://structforge_app:$(value app_password)@postgres:5432/structforge"
keep owner_url "postgresql://structforge_owner:$(value owner_password)@postgres:5432/structforge"
keep redis_url "redis://:$(value valkey_password)@valkey:6379/0"
