"""Node types of the category tool, one file each."""
