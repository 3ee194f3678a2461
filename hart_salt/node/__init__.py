"""One node on its way from launch to sealed minion."""
