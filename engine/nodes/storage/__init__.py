"""The files that workflows read and write: one folder a tenant, and one resolver of paths."""
