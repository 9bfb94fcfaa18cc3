"""The adapters of the agents: journal records in, events and intents out. No socket, no clock, no database here."""
