"""The JSON that GitHub answers with, made from the store's values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.servers.github.store import Account, Asset, Release, Repository

Json = dict[str, Any]
START = 1_700_000_000


def when(number: int | None) -> str | None:
    """A time. The store counts and has no clock."""
    return datetime.fromtimestamp(START + number, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if number is not None else None


def user(api: str, login: str) -> Json:
    urls = (
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
        "received_events",
    )
    return {
        "login": login,
        "id": sum(login.encode()),
        "node_id": f"U_{login}",
        "avatar_url": f"{api}/avatars/{login}",
        "gravatar_id": "",
        "url": f"{api}/users/{login}",
        "html_url": f"{api}/{login}",
        **{f"{name}_url": f"{api}/users/{login}/{name}" for name in urls},
        "type": "User",
        "site_admin": False,
        "user_view_type": "public",
    }


def repository(api: str, repo: Repository, account: Account | None) -> Json:
    owner, _, short = repo.name.partition("/")
    url, html = f"{api}/repos/{repo.name}", f"{api}/{repo.name}"
    urls = (
        "archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads "
        "events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges "
        "milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees"
    )
    counts = "forks forks_count network_count open_issues open_issues_count stargazers_count subscribers_count watchers"
    push = account is not None and repo.name in account.push and not repo.archived
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": short,
        "full_name": repo.name,
        "owner": user(api, owner),
        "private": repo.private,
        "archived": repo.archived,
        "url": url,
        "html_url": html,
        **{f"{name}_url": f"{url}/{name}" for name in urls.split()},
        **{f"{name}_url": f"{html}.git" for name in ("clone", "git", "ssh", "svn")},
        **dict.fromkeys(counts.split(), 0),
        **dict.fromkeys(("watchers_count", "size"), 0),
        **dict.fromkeys(("fork", "has_pages", "has_discussions", "disabled"), False),
        **dict.fromkeys(("has_issues", "has_projects", "has_wiki"), True),
        **dict.fromkeys(("description", "homepage", "language", "mirror_url", "license")),
        "default_branch": "main",
        "pushed_at": when(repo.id),
        "created_at": when(repo.id),
        "updated_at": when(repo.id),
        **({"permissions": {"admin": False, "maintain": False, "push": push, "triage": push, "pull": True}} if account else {}),
    }


def asset(api: str, repo: Repository, release: Release, held: Asset) -> Json:
    place = "untagged" if release.draft else release.tag
    return {
        "url": f"{api}/repos/{repo.name}/releases/assets/{held.id}",
        "browser_download_url": f"{api}/{repo.name}/releases/download/{place}/{held.name}",
        "id": held.id,
        "node_id": f"RA_{held.id}",
        "name": held.name,
        "label": held.label,
        "state": held.state,
        "content_type": held.content_type,
        "size": held.size,
        "digest": held.digest,
        "download_count": 0,
        "created_at": when(held.id),
        "updated_at": when(held.id),
        "uploader": user(api, held.uploader),
    }


def release(api: str, repo: Repository, held: Release) -> Json:
    url = f"{api}/repos/{repo.name}/releases/{held.id}"
    return {
        "url": url,
        "html_url": f"{api}/{repo.name}/releases/tag/{held.tag}",
        "assets_url": f"{url}/assets",
        "upload_url": f"{url}/assets{{?name,label}}",
        "tarball_url": None if held.draft else f"{api}/repos/{repo.name}/tarball/{held.tag}",
        "zipball_url": None if held.draft else f"{api}/repos/{repo.name}/zipball/{held.tag}",
        "id": held.id,
        "node_id": f"RE_{held.id}",
        "tag_name": held.tag,
        "target_commitish": held.target,
        "name": held.name,
        "body": held.body,
        "draft": held.draft,
        "prerelease": held.prerelease,
        "immutable": held.immutable,
        "created_at": when(held.id),
        "published_at": when(held.published),
        "updated_at": when(held.published or held.id),
        "author": user(api, held.author),
        "assets": [asset(api, repo, held, one) for one in held.assets],
    }
