"""salt-cloud's configuration in hart's words."""
