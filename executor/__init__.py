"""The service inside a sandbox: workspace, agent processes and their journals. Standard library only; imports nothing from `app`."""
