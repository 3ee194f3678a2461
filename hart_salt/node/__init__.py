"""The life of one node, from launch to sealed minion."""
