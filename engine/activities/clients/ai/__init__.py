"""Providers of AI models: one file each, behind `engine.nodes.generation.port.Provider`."""
