"""The only importers of redis, docker, minio and httpx: one module per technology and port."""
