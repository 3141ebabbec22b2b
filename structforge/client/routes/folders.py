"""Routes of folders. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.models.folders import FolderReply
from structforge.client.unset import UNSET, Unset


class FoldersRoutes:
    """Routes of folders."""

    @call
    def list_folders(self) -> Call[list[FolderReply]]:
        """The whole tree, parents before children."""
        return Call("GET", "/api/v1/folders", list[FolderReply])

    @call
    def create_folder(
        self,
        name: str,
        *,
        parent_id: Id | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[FolderReply]:
        """Make a folder; its name is unique within its parent."""
        return Call(
            "POST",
            "/api/v1/folders",
            FolderReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"name": name, "parent_id": parent_id},
        )

    @call
    def get_folder(self, folder_id: Id) -> Call[FolderReply]:
        """One folder."""
        return Call("GET", f"/api/v1/folders/{part(folder_id)}", FolderReply)

    @call
    def delete_folder(self, folder_id: Id) -> Call[None]:
        """Delete an empty folder."""
        return Call("DELETE", f"/api/v1/folders/{part(folder_id)}", type(None))

    @call
    def change_folder(
        self,
        folder_id: Id,
        *,
        name: str | Unset | None = UNSET,
        parent_id: Id | Unset | None = UNSET,
    ) -> Call[FolderReply]:
        """Rename a folder, or move it with all that is in it."""
        return Call(
            "PATCH",
            f"/api/v1/folders/{part(folder_id)}",
            FolderReply,
            body={"name": name, "parent_id": parent_id},
        )
