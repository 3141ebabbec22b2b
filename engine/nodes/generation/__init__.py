"""Generation by AI models: what nodes ask for, what providers answer, and the checks in between."""
