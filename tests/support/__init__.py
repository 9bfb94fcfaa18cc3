"""The real parts that tests run on, and how to wait for them."""
