"""
Write the reports that the docs show. ``tools/pages.sh`` starts this file.

The private master of the demo creates nodes with the driver ``local``; nothing of it remains but the pages.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from demo import Demo, Failed
from place import Place

COUNT = 6  #: nodes of the batch in the picture


def write(demo: Demo, directory: Path) -> None:
    """
    Create nodes, and write the pages about them into a directory.

    Raises ``Failed`` if a command fails.
    """
    demo.ask("salt-run", "hart.create_role", "app", "count=2")
    nodes = demo.ask("salt-run", "hart.create_role", "app", f"count={COUNT}")["nodes"]
    first, second, *_ = nodes
    batch = demo.ask("salt-run", "hart.show", first)["nodes"][first]["batch"]
    demo.ask("salt-run", "hart.timeline", batch, f"file={directory / 'timeline.html'}")
    demo.ask("salt-run", "hart.create", "db1.example.com")
    demo.ask("salt-run", "hart.destroy", first)
    # The report shows what differs.
    command = [demo.bin / "salt-key", "-y", "-q", "-d", second]
    subprocess.run(command, check=True, env=demo.environment, stdout=subprocess.DEVNULL)
    demo.ask("salt-run", "hart.report", f"file={directory / 'fleet.html'}")


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description="Writes the reports that the docs show.")
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    place = Place.make()
    try:
        demo = Demo(place)
        demo.start_master()
        write(demo, given.directory)
    except Failed as error:
        print(f"pages: {error}\n{place.evidence()}".rstrip(), file=sys.stderr)
        return 1
    finally:
        place.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
