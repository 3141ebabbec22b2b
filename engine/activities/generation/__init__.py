"""The model port: AI models as data, their budgets, their limits, and the ledger of their calls."""
