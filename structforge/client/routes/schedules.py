"""Routes of schedules. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.schedules import PreviewReply, ScheduleReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class SchedulesRoutes:
    """Routes of schedules."""

    @listing
    def list_schedules(
        self,
        *,
        workflow: Id | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[ScheduleReply]]:
        """Schedules, newest first; those of timer nodes last."""
        return Call(
            "GET",
            "/api/v1/schedules",
            Page[ScheduleReply],
            params={"workflow": workflow, "cursor": cursor, "limit": limit},
        )

    @call
    def create_schedule(
        self,
        name: str,
        workflow_id: Id,
        *,
        cron: str | Unset | None = UNSET,
        every: str | Unset | None = UNSET,
        at: datetime | Unset | None = UNSET,
        timezone: str | Unset = UNSET,
        jitter: str | Unset = UNSET,
        overlap: Literal[
            "skip",
            "buffer_one",
            "buffer_all",
            "cancel_other",
            "terminate_other",
            "allow_all",
        ] | Unset = UNSET,
        catchup_window: str | Unset = UNSET,
        starts_at: datetime | Unset | None = UNSET,
        ends_at: datetime | Unset | None = UNSET,
        max_runs: int | Unset | None = UNSET,
        enabled: bool | Unset = UNSET,
        trigger: str | Unset | None = UNSET,
        input: dict[str, Any] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[ScheduleReply]:
        """Let a workflow start at set times."""
        return Call(
            "POST",
            "/api/v1/schedules",
            ScheduleReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={
                "name": name,
                "cron": cron,
                "every": every,
                "at": at,
                "timezone": timezone,
                "jitter": jitter,
                "overlap": overlap,
                "catchup_window": catchup_window,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "max_runs": max_runs,
                "enabled": enabled,
                "trigger": trigger,
                "input": input,
                "workflow_id": workflow_id,
            },
        )

    @call
    def get_schedule(self, schedule_id: Id) -> Call[ScheduleReply]:
        """One schedule."""
        return Call("GET", f"/api/v1/schedules/{part(schedule_id)}", ScheduleReply)

    @call
    def change_schedule(
        self,
        schedule_id: Id,
        name: str,
        *,
        cron: str | Unset | None = UNSET,
        every: str | Unset | None = UNSET,
        at: datetime | Unset | None = UNSET,
        timezone: str | Unset = UNSET,
        jitter: str | Unset = UNSET,
        overlap: Literal[
            "skip",
            "buffer_one",
            "buffer_all",
            "cancel_other",
            "terminate_other",
            "allow_all",
        ] | Unset = UNSET,
        catchup_window: str | Unset = UNSET,
        starts_at: datetime | Unset | None = UNSET,
        ends_at: datetime | Unset | None = UNSET,
        max_runs: int | Unset | None = UNSET,
        enabled: bool | Unset = UNSET,
        trigger: str | Unset | None = UNSET,
        input: dict[str, Any] | Unset = UNSET,
        if_match: str | None = None,
    ) -> Call[ScheduleReply]:
        """Replace the rule of a schedule. 409 for one that follows a timer node."""
        return Call(
            "PUT",
            f"/api/v1/schedules/{part(schedule_id)}",
            ScheduleReply,
            headers={"If-Match": UNSET if if_match is None else if_match},
            body={
                "name": name,
                "cron": cron,
                "every": every,
                "at": at,
                "timezone": timezone,
                "jitter": jitter,
                "overlap": overlap,
                "catchup_window": catchup_window,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "max_runs": max_runs,
                "enabled": enabled,
                "trigger": trigger,
                "input": input,
            },
        )

    @call
    def delete_schedule(self, schedule_id: Id) -> Call[None]:
        """Remove a schedule; what it has started goes on."""
        return Call("DELETE", f"/api/v1/schedules/{part(schedule_id)}", type(None))

    @call
    def pause_schedule(self, schedule_id: Id, *, idempotency_key: str | None = None) -> Call[ScheduleReply]:
        """Let it fire no more until it is resumed; also for one that follows a timer node."""
        return Call(
            "POST",
            f"/api/v1/schedules/{part(schedule_id)}/pause",
            ScheduleReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def resume_schedule(self, schedule_id: Id, *, idempotency_key: str | None = None) -> Call[ScheduleReply]:
        """Let a paused schedule fire again."""
        return Call(
            "POST",
            f"/api/v1/schedules/{part(schedule_id)}/resume",
            ScheduleReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )

    @call
    def trigger_schedule(self, schedule_id: Id) -> Call[bytes]:
        """Fire once now. 409 if Temporal does not have it (yet)."""
        return Call("POST", f"/api/v1/schedules/{part(schedule_id)}/trigger", bytes)

    @call
    def backfill_schedule(
        self,
        schedule_id: Id,
        start: datetime,
        end: datetime,
        *,
        overlap: Literal[
            "skip",
            "buffer_one",
            "buffer_all",
            "cancel_other",
            "terminate_other",
            "allow_all",
        ] | Unset = UNSET,
    ) -> Call[bytes]:
        """Fire for every time that was due in a span; each time starts one execution, however often it is asked for."""
        return Call(
            "POST",
            f"/api/v1/schedules/{part(schedule_id)}/backfill",
            bytes,
            body={"start": start, "end": end, "overlap": overlap},
        )

    @call
    def preview_schedule(self, schedule_id: Id) -> Call[PreviewReply]:
        """When it fires next, and what it has done, out of Temporal."""
        return Call("GET", f"/api/v1/schedules/{part(schedule_id)}/preview", PreviewReply)
