"""What the Hub takes at most: operations a commit, commits an hour, files a folder, requests a window of five minutes.

The documented numbers are 10,000 files a folder, 128 commits an hour, 25,000 files and 1 GB of ordinary ones a commit, and some
thousand requests of each kind in a window; how many are left stands in the headers of every answer. Tests lower them.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.servers.hub.errors import Refused, TooMany


@dataclass(kw_only=True)
class Limits:
    """None is no limit. `hour` and `window` are in seconds."""

    operations: int | None = None  # a commit
    payload: int | None = None  # bytes of a commit's request
    folder: int | None = 10_000  # files
    commits: int | None = None
    hour: float = 3600
    requests: int | None = None  # of a kind
    window: float = 300

    _made: list[float] = field(default_factory=list, init=False, repr=False)
    _begun: float = field(default=-math.inf, init=False, repr=False)
    _asked: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def count_request(self, path: str) -> tuple[bool, dict[str, str]]:
        """Whether there was one left, and the headers that say how many are."""
        kind = "resolvers" if "/resolve" in path else "api"
        if self.requests is None or not (kind == "resolvers" or path.startswith("/api/")):
            return True, {}
        with self._lock:
            now = time.monotonic()
            if now - self._begun >= self.window:
                self._begun = now
                self._asked.clear()
            self._asked[kind] += 1
            left = self.requests - self._asked[kind]
            ends = math.ceil(self._begun + self.window - now)
        policy = f'"fixed window";"{kind}";q={self.requests};w={math.ceil(self.window)}'
        return left >= 0, {"RateLimit": f'"{kind}";r={max(0, left)};t={ends}', "RateLimit-Policy": policy}

    def count_commit(self, operations: int, payload: int) -> None:
        """Refuse a commit that is too large, or one too many in this hour."""
        if self.operations is not None and operations > self.operations:
            raise Refused(f"Too many operations in a commit: {operations}, the limit is {self.operations}", 413)
        if self.payload is not None and payload > self.payload:
            raise Refused("request entity too large", 413)
        if self.commits is None:
            return
        with self._lock:
            now = time.monotonic()
            self._made[:] = [made for made in self._made if now - made < self.hour]
            if len(self._made) >= self.commits:
                wait = math.ceil(self._made[0] + self.hour - now)
                raise TooMany(f"You have exceeded the rate limit for repository commits ({self.commits} per hour).", wait)
            self._made.append(now)

    def check_folders(self, tree: Mapping[str, object]) -> None:
        """Refuse a tree with too many files in a folder."""
        if self.folder is None or len(tree) <= self.folder:
            return
        folder, most = Counter(path.rpartition("/")[0] for path in tree).most_common(1)[0]
        if most > self.folder:
            raise Refused(f"Your push was rejected because it contains more than {self.folder} files per directory: {folder!r}")
