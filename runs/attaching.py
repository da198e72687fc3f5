"""Files that people and clients attach to things."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from evalhub.accounts.actor import Actor
from evalhub.audit.models import record_event
from evalhub.database.ids import new_id
from evalhub.web.errors import Refused
from runs.models import Attachment

LARGEST = 32 * 1024 * 1024  # bytes


def attach(file: UploadedFile, entity_type: str, entity_id: UUID, *, by: Actor) -> Attachment:
    """Keep an uploaded file under a name of ours; the sender's name is only ever shown."""
    size = file.size or 0
    if size > LARGEST:
        raise Refused(f"The file has {size:,} bytes, and at most {LARGEST:,} are taken.")
    pk = new_id()
    name = (file.name or "file").replace("\0", "")[-255:]
    position = Attachment.objects.filter(entity_type=entity_type, entity_id=entity_id).count()
    attachment = Attachment(
        id=pk,
        organization=by.organization,
        entity_type=entity_type,
        entity_id=entity_id,
        filename=name,
        content_type=(file.content_type or "application/octet-stream")[:200],
        size=size,
        position=position,
        created_by=by.user,
    )
    attachment.file.save(str(pk), file, save=False)
    attachment.save()
    record_event("attachment.added", attachment, by=by, filename=name, size=size)
    return attachment


def detach(attachment: Attachment, *, by: Actor) -> None:
    """Forget the file; what is on the disk goes when that is certain."""
    with transaction.atomic():
        record_event("attachment.deleted", attachment, by=by, filename=attachment.filename)
        attachment.delete()
        if attachment.file.name:
            transaction.on_commit(partial(attachment.file.storage.delete, attachment.file.name))
