"""Printed scores that a trace holds against the pair set: a file that says a score twice, or no number, is named as such."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aqea_registry.tracing.trace import _misprints


@pytest.mark.parametrize(
    ("content", "why"), [(b'{"a": 1, "a": 1}', "appears twice"), (b'{"a": NaN}', "NaN"), (b"[" * 9999, "deep")]
)
def test_a_file_of_scores_is_read_strictly(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "m.json").write_bytes(content)
    examined: Any = SimpleNamespace(metrics={"a": 1})
    [said] = _misprints(tmp_path / "m.json", examined)
    assert said.startswith("it is not JSON") and why in said
