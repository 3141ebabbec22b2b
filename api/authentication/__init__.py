"""How people prove who they are: passwords, signed tokens, and a provider of OpenID Connect."""
