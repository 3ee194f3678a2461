"""From the files and layers that people write to one checked configuration."""
