"""Plugins: node types that an operator adds, in this process or in processes of their own."""
