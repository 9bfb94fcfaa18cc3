"""Use cases, one module per noun. No framework, no wire."""
