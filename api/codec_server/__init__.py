"""The codec server: what lets the Temporal Web UI and its command line show sealed payloads."""
