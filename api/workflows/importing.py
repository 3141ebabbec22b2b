"""Documents taken in: read, checked and stored, and never run. Every issue of every document comes back at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from api.auth import Identity
from api.documents import CheckedDocument, check_document
from api.folders.service import ensure_path
from api.resources import Resources
from api.schemas import IssueReply
from api.workflow_access import need_role
from api.workflows import service
from api.workflows.archives import Part
from api.workflows.lifecycle import MAX_NAME
from api.workflows.listing import normal_tags
from api.workflows.schemas import Imported, ImportReply
from engine.dag.document import read_document
from engine.errors import AccessDenied, Issue, NotFound, StructForgeError, ValidationFailed
from models.repositories.workflows import Saved, Versions, spec_digest
from models.roles import Role
from models.tables import Workflow

OnConflict = Literal["fail", "rename", "version"]
_NAMES_TRIED = 1000


@dataclass(slots=True)
class _Item:
    """A document on its way in: `name` is what it is stored as, `existing` the workflow it becomes a version of."""

    part: Part
    outcome: Literal["created", "saved", "unchanged", "conflict", "invalid", "refused"] = "created"
    given_name: str | None = None
    name: str = ""
    checked: CheckedDocument | None = None
    existing: Workflow | None = None
    saved: Saved | None = None
    issues: list[Issue] = field(default_factory=list[Issue])

    @property
    def is_well(self) -> bool:
        return self.outcome in ("created", "saved", "unchanged")

    def fail(self, outcome: Literal["conflict", "invalid", "refused"], *issues: Issue) -> None:
        self.outcome = outcome
        self.issues.extend(issues)

    def reply(self) -> Imported:
        renamed = self.is_well and self.name != self.given_name
        return Imported(
            source=self.part.source,
            name=self.given_name,
            outcome=self.outcome,
            saved_as=self.name if renamed else None,
            workflow_id=self.saved.workflow.id if self.saved else self.existing.id if self.existing else None,
            version=self.saved.version.number if self.saved else None,
            issues=[IssueReply(**issue.as_dict()) for issue in self.issues],
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """How documents are to be taken in."""

    on_conflict: OnConflict
    dry_run: bool
    publish: bool
    folder_id: UUID | None = None


async def import_documents(resources: Resources, caller: Identity, parts: list[Part], wish: Wish) -> ImportReply:
    """All documents or none: nothing is stored while one of them is invalid, in conflict or refused."""
    items = [_Item(part) for part in parts]
    taken: dict[str, Workflow | None] = {}
    for item in items:
        await _check(resources, item, wish)
        if item.is_well:
            await _place(resources, caller, item, wish, taken)
    stored = not wish.dry_run and all(item.is_well for item in items)
    if stored:
        for item in items:
            await _store(resources, caller, item, wish)
    return ImportReply(stored=stored, dry_run=wish.dry_run, items=[item.reply() for item in items])


async def _check(resources: Resources, item: _Item, wish: Wish) -> None:
    limit = resources.settings.limits.max_document_bytes
    try:
        raw = read_document(item.part.text, name=item.part.name, max_bytes=limit)
        item.given_name = raw["name"] if isinstance(raw.get("name"), str) else None
        item.checked = await check_document(resources, raw, draft=not wish.publish)
        item.name = item.checked.spec.name
        item.issues.extend(item.checked.warnings)
        normal_tags(item.part.tags)
    except ValidationFailed as failure:
        item.fail("invalid", *failure.issues)


async def _place(
    resources: Resources, caller: Identity, item: _Item, wish: Wish, taken: dict[str, Workflow | None]
) -> None:
    """Say what becomes of a document, given those before it: `taken` holds the names that are no longer free."""
    found = await service.find_named(resources, caller.tenant, item.name)
    if found is None and item.name not in taken:
        taken[item.name] = None
        return
    if wish.on_conflict == "rename":
        item.name = await _free(resources, caller, item.name, taken)
        taken[item.name] = None
    elif wish.on_conflict == "version":
        await _place_over(resources, caller, item, found)
        taken[item.name] = found
    else:
        hint = "import it with on_conflict=rename or on_conflict=version, or rename it in the document"
        item.fail("conflict", Issue("NAME_TAKEN", "name", f"there is a workflow named {item.name!r} already", hint))


async def _place_over(resources: Resources, caller: Identity, item: _Item, found: Workflow | None) -> None:
    item.outcome, item.existing = "saved", found
    if found is None:  # a document before this one makes it
        return
    try:
        await need_role(resources, caller, found.id, Role.EDITOR)
    except (AccessDenied, NotFound):
        message = f"the workflow {item.name!r} is somebody else's"
        item.fail("refused", Issue("ACCESS_DENIED", "name", message, "import it with on_conflict=rename"))
        item.existing = None
        return
    latest = await Versions(resources.database).get_number(caller.tenant, found.id, found.latest_version)
    if latest.digest == spec_digest(_raw(item)):
        item.outcome = "unchanged"


async def _free(resources: Resources, caller: Identity, name: str, taken: dict[str, Workflow | None]) -> str:
    for number in range(2, _NAMES_TRIED):
        candidate = f"{name[: MAX_NAME - 5]} {number}"
        if candidate not in taken and await service.find_named(resources, caller.tenant, candidate) is None:
            return candidate
    raise ValidationFailed([Issue("NAME_TAKEN", "name", f"{name!r} and a thousand names after it are taken")])


async def _store(resources: Resources, caller: Identity, item: _Item, wish: Wish) -> None:
    """Store one document; a name that somebody took meanwhile is told as a conflict of that document."""
    checked = item.checked
    assert checked is not None
    if item.name != checked.spec.name:
        checked = CheckedDocument({**checked.raw, "name": item.name}, checked.spec, checked.warnings)
    note = f"Imported from {item.part.source}"
    try:
        if item.outcome == "created":
            item.saved = await _create(resources, caller, item, checked, note, wish)
        else:
            item.saved = await service.apply_workflow(resources, caller, checked, note, publish=wish.publish)
    except StructForgeError as error:
        item.fail("conflict", Issue(error.code, "name", error.message))


async def _create(
    resources: Resources, caller: Identity, item: _Item, checked: CheckedDocument, note: str, wish: Wish
) -> Saved:
    folder_id = await ensure_path(resources, caller, wish.folder_id, item.part.folder)
    tags = normal_tags(item.part.tags)
    return await service.create_workflow(
        resources, caller, checked, note, publish=wish.publish, folder_id=folder_id, tags=tags
    )


def _raw(item: _Item) -> dict[str, Any]:
    assert item.checked is not None
    return item.checked.raw
