#!/bin/sh
# Creates the namespace and StructForge's search attributes, and waits until both can be used.
set -eu
namespace=${TEMPORAL_NAMESPACE:?}
until temporal operator cluster health; do sleep 1; done
temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$namespace" --retention "${TEMPORAL_RETENTION:-7d}"
for attribute in StructForgeTenant StructForgeWorkflow StructForgeTrigger StructForgeStatus; do
    until temporal operator search-attribute list --namespace "$namespace" | grep -q "$attribute"; do
        temporal operator search-attribute create --namespace "$namespace" --name "$attribute" --type Keyword || sleep 1
    done
done
