"""The `paddock` command: a client of the HTTP API, and the keeper of the one-machine installation (up, down, doctor)."""
