"""Notifications: whom the outbox has something to tell, what is said, and how it gets there."""
