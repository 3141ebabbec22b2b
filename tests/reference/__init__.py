"""A second, slow opinion on what a document means, to hold the real core against."""
