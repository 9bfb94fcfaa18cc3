"""The routes, one module per noun. They translate between the wire and the services, and decide nothing."""
