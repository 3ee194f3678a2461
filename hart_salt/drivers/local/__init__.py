"""This machine: instances are directories, with a small machine process in each."""
