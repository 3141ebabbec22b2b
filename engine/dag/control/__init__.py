"""The pure state of containers: which pass or branch to start next, and what their end means."""
