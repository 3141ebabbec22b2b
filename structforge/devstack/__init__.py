"""Real servers without an installation: PostgreSQL, Valkey and Temporal as supervised children."""

from structforge.devstack.folder import RunningServer, find_running, load_api_key
from structforge.devstack.stack import EmbeddedStack, Endpoints

__all__ = ["EmbeddedStack", "Endpoints", "RunningServer", "find_running", "load_api_key"]
