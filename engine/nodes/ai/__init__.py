"""Node types of the category ai, one file each."""
