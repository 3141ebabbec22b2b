"""What `structforge node new` writes."""
