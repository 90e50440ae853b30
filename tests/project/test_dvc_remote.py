"""A DVC remote on an S3 server: what one person made, another pulls and verifies without making it again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.servers.s3 import BUCKET, S3
from tests.servers.s3 import s3 as s3
from tests.tools import aqea, run

pytest.importorskip("dvc_s3")
pytestmark = pytest.mark.weights


def test_push_wipe_pull_verify(project: Path, tmp_path: Path, s3: S3) -> None:
    env = s3.environment(tmp_path)

    def dvc(*words: str) -> None:
        result = run("dvc", *words, cwd=project, env=env)
        assert result.status == 0, result.out + result.err

    dvc("remote", "add", "--default", "mirror", f"s3://{BUCKET}/dvc")
    dvc("remote", "modify", "mirror", "endpointurl", s3.endpoint)
    dvc("push")
    shutil.rmtree(project / ".dvc/cache")
    for path in (*project.glob("training/data/*.json"), *project.glob("plots/*.csv"), *project.glob("views/*.parquet")):
        path.unlink()
    assert aqea("verify", cwd=project).status == 1, "without the files there is something to find"
    dvc("pull")
    result = aqea("verify", cwd=project)
    assert result.status == 0, result.out
