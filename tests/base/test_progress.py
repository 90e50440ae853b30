"""Counts as people write them, and secrets that nobody is shown."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from aqea_registry.base.progress import hide_secrets, keep_secret, plural


def test_one_is_singular_and_every_other_count_is_plural() -> None:
    assert [plural(count, "file") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert [plural(count, "entry is", "entries are") for count in (1, 2)] == ["1 entry is", "2 entries are"]
    assert plural(12345, "row", form=",") == "12,345 rows"


@pytest.mark.parametrize("secret", ["hf_MARKED+abc/DEF=12", 'user:"geheim"é', "ghp_0123456789abcdef"])
def test_a_secret_is_hidden_however_a_server_writes_it(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setattr("aqea_registry.base.progress._SECRETS", [])
    keep_secret(secret)
    content = secret.encode()
    for form in (secret, secret.upper(), quote(secret), quote(secret, safe=""), quote(secret, safe="").lower(), content.hex()):
        assert hide_secrets(f"no {form}!") == "no ***!", form
    for before in (b"", b"Bearer ", b"Basic ", b"token "):
        for encode in (b64encode, urlsafe_b64encode):
            text = hide_secrets(encode(before + content + b":x").decode())
            assert "***" in text and len(text.replace("***", "")) <= 16, "what is left is of the bytes beside it"
    assert hide_secrets("sha256:0123456789ab, a path/to.json") == "sha256:0123456789ab, a path/to.json"


def test_a_secret_of_bytes_that_are_not_utf_8_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqea_registry.base.progress._SECRETS", [])
    keep_secret("\udcff\udcfetoken")
    assert hide_secrets("no \udcff\udcfetoken, %FF%FEtoken!") == "no ***, ***!"
