"""The way from the files and layers that people write to one validated configuration."""
