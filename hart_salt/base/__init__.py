"""What every part of hart uses: errors, faults, names, and what must never be shown."""
