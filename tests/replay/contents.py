"""What a history holds: which node types ran in it, and which ways the interpreter took."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict
from temporalio.client import WorkflowHistory

from engine.contracts import EXECUTE_NODE, EXECUTION_WORKFLOW, RUN_REGION, SHARD_WORKFLOW
from engine.dag.packing import unpack_plan
from engine.dag.plan import Plan

_WITH_PLAN = (EXECUTION_WORKFLOW, SHARD_WORKFLOW)
_EVENT = "EVENT_TYPE_"


@dataclass(slots=True)
class Contents:
    """`ways` are words such as `activity run_region`, `local finish_execution`, `child structforge-shard`,
    `command skip`, `patch launcher-withdraws`, `event timer_fired`, `workflow structforge-launcher`."""

    node_types: set[str] = field(default_factory=set[str])
    ways: set[str] = field(default_factory=set[str])
    plan: Plan | None = None


def contents_of(history: WorkflowHistory) -> Contents:
    """Read a history whose payloads are not sealed."""
    found = Contents()
    scheduled: dict[str, str] = {}  # activity types by the event that scheduled them
    for event in history.events:
        tree = MessageToDict(event)
        name = tree["eventType"].removeprefix(_EVENT).lower()
        values: dict[str, Any] = next((v for k, v in tree.items() if k.endswith("EventAttributes")), {})
        found.ways.add(f"event {name}")
        for way in _ways_of(name, values):
            found.ways.add(way)
        if name == "workflow_execution_started":
            _take_start(found, values)
        elif name == "activity_task_scheduled":
            scheduled[tree["eventId"]] = values["activityType"]["name"]
            if scheduled[tree["eventId"]] == EXECUTE_NODE:
                _take_nodes(found, [one["node"] for one in _payloads(values["input"])])
        elif name == "activity_task_completed" and scheduled[values["scheduledEventId"]] == RUN_REGION:
            _take_region(found, values["result"])
        elif name == "marker_recorded" and f"local {RUN_REGION}" in _ways_of(name, values):
            _take_region(found, values["details"].get("result", {}))
    return found


def _take_start(found: Contents, values: dict[str, Any]) -> None:
    if values["workflowType"]["name"] not in _WITH_PLAN:
        return
    request = next(_payloads(values["input"]))
    found.plan = unpack_plan(request["plan"])
    if request.get("trigger") is not None:
        _take_nodes(found, [request["trigger"]])


def _take_region(found: Contents, result: dict[str, Any]) -> None:
    for one in _payloads(result):
        _take_nodes(found, [row[2] for row in one["outcomes"] if row[1] in ("node", "open")])


def _take_nodes(found: Contents, indexes: list[int]) -> None:
    assert found.plan is not None
    found.node_types.update(found.plan.nodes[index].type for index in indexes)


def _ways_of(name: str, values: dict[str, Any]) -> list[str]:
    if name == "workflow_execution_started":
        return [f"workflow {values['workflowType']['name']}"]
    if name == "activity_task_scheduled":
        return [f"activity {values['activityType']['name']}"]
    if name == "start_child_workflow_execution_initiated":
        return [f"child {values['workflowType']['name']}"]
    if name == "workflow_execution_update_accepted":
        return [f"command {one['name']}" for one in _payloads(values["acceptedRequest"]["input"]["args"])]
    if name == "workflow_execution_signaled":
        return [f"signal {one['name']}" for one in _payloads(values["input"])]
    if name == "marker_recorded":
        return _ways_of_marker(values)
    return []


def _ways_of_marker(values: dict[str, Any]) -> list[str]:
    details = values.get("details", {})
    if values["markerName"] == "core_patch":
        return [f"patch {one['id']}" for one in _payloads(details["patch-data"])]
    return [f"local {one['activity_type']}" for one in _payloads(details.get("data", {}))]


def _payloads(tree: dict[str, Any]) -> Iterator[Any]:
    for payload in tree.get("payloads", []):
        yield json.loads(base64.b64decode(payload["data"])) if "data" in payload else None
