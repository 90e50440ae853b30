"""How an operation reports its progress without knowing a terminal; bytes, odd characters and secrets as text for people."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Protocol

from aqea_registry.base.files import Advance, FileDigest, PathT, hash_files, ignore, size_of


class Reporter(Protocol):
    """Where progress, notes and warnings go. The command line shows them; a program may ignore them."""

    def task(self, description: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Show a task of `total` units while the context lives; its value takes the progress made."""

    def note(self, message: str) -> None:
        """Say what is about to happen."""

    def warn(self, message: str) -> None:
        """Report something that does not stop the work."""


class Silent:
    """A reporter that shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """Take progress and show nothing."""
        yield ignore

    def note(self, message: str) -> None:
        """Show nothing."""

    warn = note


def hash_shown(
    paths: Iterable[PathT], report: Reporter, *, md5: frozenset[PathT] = frozenset(), task: str = "hash"
) -> dict[PathT, FileDigest | OSError]:
    """`hash_files` with its progress shown as a task; sizes may be given."""
    sizes = paths if isinstance(paths, Mapping) else {path: size_of(path) for path in paths}
    with report.task(task, sum(sizes.values()), "bytes") as advance:
        return hash_files(sizes, md5=md5, advance=advance)


_SECRETS: list[str] = []  # the longest first: one may hold another


def keep_secret(*values: str | None) -> None:
    """From now on this process shows none of these tokens and logins. Leaving out shorter ones would spoil every text."""
    secrets = {secret for value in values if value and len(secret := value.strip()) >= 4}
    written = {form for secret in secrets for form in _written(secret) if len(form) >= 8}
    _SECRETS[:] = sorted({*_SECRETS, *secrets, *written}, key=len, reverse=True)


def _written(secret: str) -> Iterator[str]:
    """How a server may repeat it: in JSON, in addresses, in hex, and in Base64 behind any other bytes."""
    from base64 import b64encode, urlsafe_b64encode

    content = secret.encode(errors="surrogateescape")  # of an environment that is not UTF-8
    quoted = "".join(chr(byte) if re.match(rb"[\w.~/-]", bytes([byte])) else f"%{byte:02X}" for byte in content)
    yield from (json.dumps(secret)[1:-1], quoted, quoted.replace("/", "%2F"), content.hex())
    for before, first in ((0, 0), (1, 2), (2, 3)):  # bytes of it begin within a character
        whole = (before + len(content)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + content)[first:whole].decode()


def hide_secrets(text: str) -> str:
    """The text with every value of `keep_secret` as `***`, in capitals or not: whatever repeats one, it does not get out."""
    return _any_of(tuple(_SECRETS)).sub("***", text) if _SECRETS else text


@cache
def _any_of(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE)


def printable(text: str, *, keep: str = "", instead: str | None = None) -> str:
    """The text without secrets and characters that control a terminal: each as its escape or as `instead`, but for `keep`."""
    text = hide_secrets(text)

    def shown(character: str) -> str:
        if character.isprintable() or character in keep:
            return character
        return character.encode("unicode_escape", "surrogatepass").decode() if instead is None else instead

    return text if text.isprintable() else "".join(map(shown, text))


def size_text(size: int) -> str:
    """Bytes for people: `12 bytes`, `3.4 kB`, `5.6 MB`."""
    if size < 1000:
        return f"{size} bytes"
    power = next((power for power in (1, 2, 3) if size / 1000**power < 999.95), 4)
    return f"{size / 1000**power:.1f} {'_kMGT'[power]}B"


def plural(count: int, singular: str, several: str | None = None, form: str = "") -> str:
    """A count with its words: `1 file`, `2 files`; `several` if that is not `singular` and s, `form` as in a format string."""
    return f"{count:{form}} {singular if count == 1 else several or f'{singular}s'}"


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
