"""Running what others wrote: scripts in a sandbox, and commands that the operator registered."""
