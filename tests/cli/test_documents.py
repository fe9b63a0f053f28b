"""What the documents say is what the commands do."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_commands_document_is_up_to_date() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "document_commands.py"))
    assert (ROOT / "docs" / "commands.md").read_text() == tool["document"](), "run tools/document_commands.py"


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    missing = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert missing == []


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"]]
    for group in project["dependency-groups"].values():
        wanted += [entry for entry in group if isinstance(entry, str)]
    names = {re.split(r"[<>=!~\[ ;]", entry)[0] for entry in wanted}
    document = (ROOT / "docs" / "dependencies.md").read_text().lower()
    assert sorted(name for name in names if name.lower() not in document) == []
