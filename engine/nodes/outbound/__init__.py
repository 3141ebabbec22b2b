"""Outgoing HTTP: the one client of a process, and the guard against internal addresses."""
