"""What keeps the installation in order: the reconciler, retention, and the sweeper of objects."""
