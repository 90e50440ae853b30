"""What every store refuses, in the same words: built here once, raised where it is found."""

from __future__ import annotations

from aqea_registry.core.findings import CannotCheck, Finding, Refused, TagConflict
from aqea_registry.core.release import NotARelease, Release, digest_of, parse, tag_conflict


def parsed(subject: str, content: bytes) -> Release:
    """The release that a manifest's bytes are. Raises Refused if they are none."""
    try:
        return parse(content)
    except NotARelease as error:
        finding = Finding(code="malformed", subject=subject, message=str(error))
        raise Refused(f"{subject} is no release: {error}", [finding]) from error


def refuse_other_release(tag: str, spec: str, held: str | None, release: Release) -> None:
    """Raise TagConflict if the tag holds something else: `held` is what it holds, a digest or other words; None: nothing."""
    wanted = release.digest()
    if held is not None and held != wanted:
        finding = tag_conflict(tag, spec, held, wanted)
        message = f"{finding.subject}: {finding.message}: it names {held}; this content would be {wanted}"
        raise TagConflict(message, "publish it under a new tag", [finding])


def other_manifest(subject: str, expected: str, content: bytes) -> Refused:
    """The manifest under a digest has other bytes."""
    message = "the manifest's bytes are not those that its digest names"
    return Refused.of("mismatch", subject, message, expected, digest_of(content))


def other_document(subject: str, wanted: bytes, held: bytes | None) -> Refused:
    """Another document is attached under the same name; `held` is None where only that is known."""
    message = "another document of this name is attached, and attachments stay as they are"
    actual = None if held is None else digest_of(held)
    return Refused.of("conflict", subject, message, digest_of(wanted), actual, hint="attach it under a new name")


def changed_file(path: str, expected: str, actual: str) -> Refused:
    """A file of the release has other bytes than it had when it was verified. Digests, as findings show them."""
    message = "the file changed while it was published"
    finding = Finding(code="mismatch", subject=path, expected=expected, actual=actual, message=message)
    return Refused(f"{path} changed while it was published; nothing was tagged", [finding])


def unreadable_file(path: str, error: Exception) -> CannotCheck:
    """A file of the release cannot be read any more."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return CannotCheck(f"{path} cannot be read: {reason}", "make the release's files again")
