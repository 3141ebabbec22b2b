"""Segments: many short I/O nodes in one activity, each with a checkpoint of its own."""
