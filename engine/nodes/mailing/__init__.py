"""What the email node needs: addresses, and messages put together."""
