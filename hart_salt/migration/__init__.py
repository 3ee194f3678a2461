"""Minions and configuration that hart did not make come under its management."""
