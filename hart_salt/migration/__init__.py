"""Minions and configuration that hart-salt did not create, brought under its management."""
