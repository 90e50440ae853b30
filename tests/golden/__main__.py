"""`python -m tests.golden record` wrote recorded.json.gz once; `... show NAME` prints one project's answers of today."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.golden.answers import answers, record
from tests.golden.cases import BROKEN

with tempfile.TemporaryDirectory() as folder:
    if sys.argv[1:] == ["record"]:
        record({name: answers(Path(folder), name) for name in BROKEN})
    else:
        for name in sys.argv[2:]:
            print(json.dumps(answers(Path(folder), name), indent=1, sort_keys=True))
