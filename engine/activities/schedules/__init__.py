"""Schedules: rows on one side, Temporal Schedules on the other, and what a fire starts."""
