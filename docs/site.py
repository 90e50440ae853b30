"""The site's files: the repository's own pages at their own paths, so that a link leads to the same place in both."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "examples/*.md")
LINK = re.compile(r"\]\(([^)#:]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages, and the other files that they lead to, in the place of what lies in docs/."""
    root = Path(config.config_file_path).parent
    for file in [file for file in files if Path(file.src_dir or "") == root / "docs"]:
        files.remove(file)
    pages = [page for pattern in PAGES for page in sorted(root.glob(pattern))]
    linked = {(page.parent / target).resolve() for page in pages for target in LINK.findall(page.read_text("utf-8"))}
    others = {path for path in linked - {*pages} if path.is_file() and path.is_relative_to(root)}
    for path in [*pages, *sorted(others), *(root / str(style) for style in config.extra_css)]:
        files.append(File(str(path.relative_to(root)), str(root), config.site_dir, config.use_directory_urls))
    return files
