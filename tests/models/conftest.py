from tests.models.fixtures import database, postgres, tenant, valkey

__all__ = ["database", "postgres", "tenant", "valkey"]
