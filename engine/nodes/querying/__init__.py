"""What the database node needs: statements read as text, parameters, and results as data."""
