"""Node types of the category integration, one file each."""
