"""The isolation of scripts that run in a real Python: namespaces by bubblewrap, a filter of system calls, limits."""
