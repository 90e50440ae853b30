"""Datasets in other formats than JSON lines, read into JSON lines."""

from __future__ import annotations

import json
from io import BytesIO

from aqea_registry.core.findings import CannotCheck, Finding, Refused


def as_lines(path: str, content: bytes, columns: tuple[str, ...]) -> tuple[str, bytes]:
    """The name and bytes of a table as JSON lines; only these columns of a Parquet file, other files as they are.

    Raises Refused if it is no Parquet file, CannotCheck if pyarrow is not installed.
    """
    if not path.endswith(".parquet"):
        return path, content
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CannotCheck(
            f"{path} is Parquet, and pyarrow is not installed", "pip install 'aqea-registry[generate]'"
        ) from error
    try:
        table = parquet.read_table(BytesIO(content), use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        finding = Finding(code="malformed", subject=path, message=f"not a Parquet file: {error}")
        raise Refused(f"{path}: {finding.message}", [finding]) from error
    rows = table.select([name for name in table.column_names if name in columns]).to_pylist()
    return f"{path}.jsonl", "".join(f"{json.dumps(row, default=str)}\n" for row in rows).encode()
