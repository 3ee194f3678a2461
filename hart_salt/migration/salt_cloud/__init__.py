"""The translation of salt-cloud's configuration."""
