"""Settings of every StructForge process, read from the environment."""

from engine.settings.root import CLIENT_VARIABLES, ENV_DELIMITER, ENV_PREFIX, MASK, Settings, load_settings

__all__ = ["CLIENT_VARIABLES", "ENV_DELIMITER", "ENV_PREFIX", "MASK", "Settings", "load_settings"]
