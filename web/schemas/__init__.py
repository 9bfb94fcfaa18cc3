"""The wire as pydantic models, one module per noun: the only source of validation, OpenAPI and (later) TypeScript types."""
