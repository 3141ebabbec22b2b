"""Node types of the category trigger, one file each."""
