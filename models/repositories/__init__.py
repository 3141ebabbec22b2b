"""Every query of StructForge. Nothing outside this package writes SQL."""
