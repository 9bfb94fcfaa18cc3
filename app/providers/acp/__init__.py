"""Any agent that speaks the Agent Client Protocol (version 1): JSON-RPC 2.0, a line each way on stdio, one process per attempt."""

from app.providers.acp.provider import AcpProvider

__all__ = ["AcpProvider"]
