"""Messages between workflows and brokers: what the broker clients promise, and how bodies travel."""
