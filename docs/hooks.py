"""Pages that are made from the program: one for each theorem, and the glossary."""

from __future__ import annotations

from typing import Any

from dlgen_cli.bounds.explanation import implicit_texts, words_text
from dlgen_cli.bounds.registry import THEOREMS


def pages() -> dict[str, str]:
    """The text of every page by its path under the docs."""
    theorems = {f"theorems/{name}.md": one.explain() for name, one in THEOREMS.items()}
    implicit = {f"theorems/{name}.md": text for name, text in implicit_texts().items()}
    return {**theorems, **implicit, "glossary.md": f"# Glossary\n\n{words_text()}"}


def on_config(config: Any) -> Any:
    """Put the theorems into the navigation, after the page on the bounds."""
    for entry in config["nav"]:
        if "Theorems" in entry:
            entry["Theorems"] += [path for path in pages() if path.startswith("theorems/")]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those in the folder."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
