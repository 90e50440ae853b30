"""`python -m tests.servers.hub FOLDER`: prints its port, serves until its parent goes. Fill the folder with `Store`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from tests.servers.hub import HubServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.hub", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lfs-size", type=int, default=1 << 20)
    options = parser.parse_args()
    parent = os.getppid()
    with HubServer(options.folder, port=options.port, lfs_size=options.lfs_size) as hub:
        print(hub.endpoint.rpartition(":")[2], flush=True)
        while os.getppid() == parent:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
