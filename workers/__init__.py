"""The worker processes: Dramatiq actors that call services. They hold nothing that dies with them."""
