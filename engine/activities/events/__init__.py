"""Events: messages handed on, what was published matched with triggers, and executions started by it."""
