"""Connections to the databases that workflows query."""
