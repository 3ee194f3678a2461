"""Leases in a server that several masters share: redis, etcd, MySQL or MariaDB, each through an existing library."""
