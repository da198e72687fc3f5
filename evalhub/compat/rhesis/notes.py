"""Tasks, comments with their emojis, tags and files: what people hang on things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from evalhub.accounts.rights import Role
from evalhub.audit.models import record_event
from evalhub.compat.rhesis.beside import tags_named
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import (
    ENTITIES,
    ENTITY_NAME,
    NANO,
    colleague,
    entity_ids,
    entity_word,
    find,
    find_entity,
    meaning_of,
    meaning_of_user,
    visible,
)
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal, not_found
from evalhub.compat.rhesis.statuses import TASK, code_in, name_expression, value_in
from evalhub.compat.rhesis.words import (
    COMMENT_COLUMNS,
    FILE_COLUMNS,
    TAG_COLUMNS,
    TASK_COLUMNS,
    Words,
    as_comment,
    as_file,
    as_tag,
    as_task,
)
from runs.attaching import attach, detach
from runs.models import Attachment, Comment, Tag, Task
from runs.tagging import tag, untag

COMMON: Final = ("id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id")
TASK_KEYS: Final = (
    *COMMON, "title", "description", "status_id", "status", "priority_id", "priority", "user", "assignee_id",
    "assignee", "entity_type", "entity_id", "completed_at", "task_metadata",
)  # fmt: skip
COMMENT_KEYS: Final = (*COMMON, "content", "entity_type", "entity_id", "emojis", "user", "edited_at")
TAG_KEYS: Final = (*COMMON, "name", "icon_unicode")
FILE_KEYS: Final = (
    *COMMON, "filename", "content_type", "size_bytes", "description", "position", "entity_id", "entity_type",
)  # fmt: skip
LONGEST_EMOJI: Final = 32
MOST_EMOJIS: Final = 50
MOST_FILES: Final = 20


def entity_fields() -> Fields:
    kinds = {str(ours): name for ours, name in ENTITY_NAME.items()}
    kind = Field("ident", "entity_type", _kinds, name_expression("entity_type", kinds))
    return {"entity_type": kind}


def _kinds(text: str) -> list[str]:
    word = text.replace("_", "").lower()
    return [str(ours) for name, (ours, _) in ENTITIES.items() if name.lower() == word]


def meaning_of_entity(call: Call) -> Any:
    """Ids of whatever kind of thing."""

    def keys(ident: str) -> list[UUID]:
        return [pk for _, model in ENTITIES.values() for pk in meaning_of(call, model)(ident)]

    return keys


# --- tasks ------------------------------------------------------------------------------------------------------------


def task_fields(call: Call) -> Fields:
    user = meaning_of_user(call)
    status = Field("ident", "status", _task_states, name_expression("status", {k: s.name for k, s in TASK.items()}))
    priority = Field("ident", "priority", lambda text: [found] if (found := value_in("TaskPriority", text)) else [])
    return {
        "id": Field("ident", "pk", meaning_of(call, Task)),
        "nano_id": Field("text", NANO),
        "title": Field("text", "title"),
        "name": Field("text", "title"),
        "description": Field("text", "description"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "completed_at": Field("time", "completed_at"),
        "status_id": status,
        "status/name": status,
        "priority_id": priority,
        "priority/type_value": priority,
        "user_id": Field("ident", "created_by_id", user),
        "assignee_id": Field("ident", "assignee_id", user),
        "assignee/name": Field("text", "assignee__name"),
        **entity_fields(),
        "entity_id": Field("ident", "entity_id", meaning_of_entity(call)),
    }


def _task_states(text: str) -> list[str]:
    return [state for state, status in TASK.items() if status.code == code_in(text)]


def show_tasks(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Task.objects.filter(pk__in=ids).values(*TASK_COLUMNS))
    named = entity_ids((row["entity_type"], row["entity_id"]) for row in rows)
    return [
        as_task(row, named.get(row["entity_id"]), ENTITY_NAME.get(row["entity_type"]) if row["entity_id"] else None)
        for row in rows
    ]


def one_task(call: Call, task: Task) -> Words:
    (words,) = show_tasks(call, [task.pk])
    return words


def list_tasks(call: Call) -> HttpResponseBase:
    return list_rows(call, visible(call, Task), task_fields(call), show_tasks, TASK_KEYS)


def tasks_of(call: Call, kind: str, ident: str) -> HttpResponseBase:
    ours, row = find_entity(call, entity_word(kind, ("path", "entity_type")), ident)
    rows = visible(call, Task).filter(entity_type=ours, entity_id=row.pk)
    return list_rows(call, rows, task_fields(call), show_tasks, TASK_KEYS)


def read_task(call: Call, ident: str) -> Words:
    return one_task(call, find(call, Task, ident))


def _task_values(call: Call, body: Body) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if title := (body.text("title", longest=300) or "").strip():
        values["title"] = title
    if "description" in body:
        values["description"] = body.text("description", longest=50_000)
    if (status := body.ident("status_id")) is not None:
        found = _task_states(status)
        if not found:
            raise not_found("Status", status, 400)
        values["status"] = found[0]
    if (priority := body.ident("priority_id")) is not None:
        known = value_in("TaskPriority", priority)
        if known is None:
            raise not_found("Priority", priority, 400)
        values["priority"] = known
    if body.sent("assignee_id"):
        values["assignee"] = colleague(call, body, "assignee_id")
    if body.sent("completed_at"):
        values["completed_at"] = body.time("completed_at")
    if "task_metadata" in body:
        values["metadata"] = body.mapping("task_metadata")
    if "entity_type" in body or "entity_id" in body:
        body.need("entity_type", "entity_id")
        word = entity_word(body.text("entity_type", longest=80) or "", body.at("entity_type"))
        values["entity_type"], row = find_entity(call, word, body.ident("entity_id") or "", status=400)
        values["entity_id"] = row.pk
    if "completed_at" not in values and "status" in values:
        values["completed_at"] = timezone.now() if values["status"] == Task.Status.COMPLETED else None
    return values


def create_task(call: Call) -> Words:
    call.must("comment")
    body = call.body()
    body.need("title", "status_id")
    values = _task_values(call, body)
    if "title" not in values:
        raise Invalid("string_too_short", body.at("title"), "String should have at least 1 character")
    task = Task.objects.create(organization=call.actor.organization, created_by=call.actor.user, **values)
    record_event("task.created", task, by=call.actor)
    return one_task(call, task)


def change_task(call: Call, ident: str) -> Words:
    call.must("comment")
    task = find(call, Task, ident)
    body = call.body()
    values = _task_values(call, body)
    if values.get("status") == task.status and not body.sent("completed_at"):
        values.pop("completed_at", None)
    for name, value in values.items():
        setattr(task, name, value)
    task.save()
    record_event("task.changed", task, by=call.actor, changed=sorted(values))
    return one_task(call, task)


def remove_task(call: Call, ident: str) -> Words:
    """Its maker's, or anybody's for who may archive."""
    call.must("comment")
    task = find(call, Task, ident)
    if task.created_by_id != call.actor.user.pk:
        call.must("archive")
    words = one_task(call, task)
    record_event("task.deleted", task, by=call.actor)
    task.delete()
    return words


# --- comments ---------------------------------------------------------------------------------------------------------


def comment_fields(call: Call) -> Fields:
    return {
        "id": Field("ident", "pk", meaning_of(call, Comment)),
        "nano_id": Field("text", NANO),
        "content": Field("text", "text"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "user_id": Field("ident", "author_id", meaning_of_user(call)),
        "user/name": Field("text", "author__name"),
        **entity_fields(),
        "entity_id": Field("ident", "entity_id", meaning_of_entity(call)),
    }


def show_comments(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Comment.objects.filter(pk__in=ids).values(*COMMENT_COLUMNS))
    named = entity_ids((row["entity_type"], row["entity_id"]) for row in rows)
    return [
        as_comment(row, named.get(row["entity_id"], str(row["entity_id"])), ENTITY_NAME[row["entity_type"]])
        for row in rows
    ]


def one_comment(call: Call, comment: Comment) -> Words:
    (words,) = show_comments(call, [comment.pk])
    return words


def list_comments(call: Call) -> HttpResponseBase:
    return list_rows(call, visible(call, Comment), comment_fields(call), show_comments, COMMENT_KEYS)


def comments_of(call: Call, kind: str, ident: str) -> HttpResponseBase:
    ours, row = find_entity(call, entity_word(kind, ("path", "entity_type")), ident)
    rows = visible(call, Comment).filter(entity_type=ours, entity_id=row.pk)
    return list_rows(call, rows, comment_fields(call), show_comments, COMMENT_KEYS)


def read_comment(call: Call, ident: str) -> Words:
    return one_comment(call, find(call, Comment, ident))


def create_comment(call: Call) -> Words:
    call.must("comment")
    body = call.body()
    body.need("content", "entity_type", "entity_id")
    text = body.text("content", longest=Comment.LONGEST, least=1) or ""
    word = entity_word(body.text("entity_type", longest=80) or "", body.at("entity_type"))
    ours, row = find_entity(call, word, body.ident("entity_id") or "", status=400)
    comment = Comment.objects.create(
        organization=call.actor.organization, author=call.actor.user, entity_type=ours, entity_id=row.pk, text=text
    )
    record_event("comment.created", row, by=call.actor, comment=str(comment.pk))
    return one_comment(call, comment)


def change_comment(call: Call, ident: str) -> Words:
    """One's own."""
    call.must("comment")
    body = call.body()
    comment = _own_comment(call, ident)
    if "content" in body and comment.rewrite(body.text("content", longest=Comment.LONGEST, least=1) or ""):
        record_event("comment.changed", comment, by=call.actor)
    return one_comment(call, comment)


def _own_comment(call: Call, ident: str, *, or_admin: bool = False) -> Comment:
    comment: Comment = find(call, Comment, ident)
    if comment.author_id != call.actor.user.pk and not (or_admin and call.actor.role == Role.ADMIN):
        raise Refusal("This is somebody else's comment.", 403)
    return comment


def remove_comment(call: Call, ident: str) -> Words:
    call.must("comment")
    comment = _own_comment(call, ident, or_admin=True)
    words = one_comment(call, comment)
    comment.deleted_at = timezone.now()
    comment.save(update_fields=["deleted_at", "updated_at"])
    record_event("comment.deleted", comment, by=call.actor)
    return words


def add_emoji(call: Call, ident: str, emoji: str) -> Words:
    comment, emojis = _emojis(call, ident, emoji)
    mine = {"user_id": str(call.actor.user.pk), "user_name": str(call.actor.user)}
    people = emojis.setdefault(emoji, [])
    if not any(one.get("user_id") == mine["user_id"] for one in people):
        people.append(mine)
    if len(emojis) > MOST_EMOJIS:
        raise Refusal(f"A comment takes at most {MOST_EMOJIS} kinds of emojis.")
    comment.emojis = emojis
    comment.save(update_fields=["emojis", "updated_at"])
    return one_comment(call, comment)


def remove_emoji(call: Call, ident: str, emoji: str) -> Words:
    comment, emojis = _emojis(call, ident, emoji)
    emojis[emoji] = [one for one in emojis.get(emoji, []) if one.get("user_id") != str(call.actor.user.pk)]
    comment.emojis = {key: people for key, people in emojis.items() if people}
    comment.save(update_fields=["emojis", "updated_at"])
    return one_comment(call, comment)


def _emojis(call: Call, ident: str, emoji: str) -> tuple[Comment, dict[str, list[Any]]]:
    call.must("comment")
    if not emoji.strip() or len(emoji) > LONGEST_EMOJI:
        raise Invalid("string_too_long", ("path", "emoji"), f"An emoji has at most {LONGEST_EMOJI} characters")
    found = find(call, Comment, ident)
    comment = Comment.objects.select_for_update(of=("self",)).get(pk=found.pk)
    return comment, {key: list(people) for key, people in (comment.emojis or {}).items()}


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_fields(call: Call) -> Fields:
    return {
        "id": Field("ident", "pk", meaning_of(call, Tag)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "icon_unicode": Field("text", "icon"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
    }


def show_tags(call: Call, ids: Sequence[UUID]) -> list[Words]:
    return [as_tag(row) for row in in_order(ids, Tag.objects.filter(pk__in=ids).values(*TAG_COLUMNS))]


def one_tag(call: Call, row: Tag) -> Words:
    (words,) = show_tags(call, [row.pk])
    return words


def list_tags(call: Call) -> HttpResponseBase:
    return list_rows(call, visible(call, Tag), tag_fields(call), show_tags, TAG_KEYS)


def read_tag(call: Call, ident: str) -> Words:
    return one_tag(call, find(call, Tag, ident))


def _kept_tag(call: Call, body: Body) -> Tag:
    """The tag of that name, made where it is new; its icon is the one that is sent."""
    name = (body.text("name", longest=80) or "").strip()
    if not name:
        raise Invalid("missing", body.at("name"), "Field required")
    row, _ = Tag.objects.get_or_create(organization=call.actor.organization, name=name)
    icon = body.text("icon_unicode", longest=16)
    if icon is not None and icon != row.icon:
        row.icon = icon
        row.save(update_fields=["icon", "updated_at"])
    return row


def create_tag(call: Call) -> Words:
    call.must("set_up", "record")
    return one_tag(call, _kept_tag(call, call.body()))


def change_tag(call: Call, ident: str) -> Words:
    call.must("set_up")
    body = call.body()
    row = find(call, Tag, ident)
    name = (body.text("name", longest=80) or "").strip()
    if name and name != row.name:
        raise Refusal("A tag keeps its name: what has it holds the name. Make a new one.", 409)
    if "icon_unicode" in body:
        row.icon = body.text("icon_unicode", longest=16) or ""
        row.save(update_fields=["icon", "updated_at"])
    return one_tag(call, row)


def remove_tag(call: Call, ident: str) -> Words:
    call.must("set_up")
    row = find(call, Tag, ident)
    words = one_tag(call, row)
    record_event("tag.deleted", row, by=call.actor)
    row.delete()
    return words


def assign_tag(call: Call, kind: str, ident: str) -> Words:
    call.must("set_up", "record")
    _, row = find_entity(call, entity_word(kind, ("path", "entity_type")), ident)
    kept = _kept_tag(call, call.body())
    tag(row, kept.name, by=call.actor)
    return one_tag(call, kept)


def unassign_tag(call: Call, kind: str, ident: str, tag_ident: str) -> Words:
    """By the tag's id, or by its name where only things hold it."""
    call.must("set_up", "record")
    _, row = find_entity(call, entity_word(kind, ("path", "entity_type")), ident)
    known = visible(call, Tag).by_id(tag_ident)  # type: ignore[attr-defined]
    name = known.name if known else tag_ident
    if not untag(row, name, by=call.actor):
        raise not_found("Tag", tag_ident)
    words = tags_named(call, [name]).get(name)
    return dict(words) if words else {"id": name, "name": name, "icon_unicode": None}


# --- files ------------------------------------------------------------------------------------------------------------


def file_fields(call: Call) -> Fields:
    return {
        "id": Field("ident", "pk", meaning_of(call, Attachment)),
        "nano_id": Field("text", NANO),
        "filename": Field("text", "filename"),
        "name": Field("text", "filename"),
        "content_type": Field("text", "content_type"),
        "size_bytes": Field("number", "size"),
        "position": Field("number", "position"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        **entity_fields(),
        "entity_id": Field("ident", "entity_id", meaning_of_entity(call)),
    }


def files(call: Call) -> QuerySet[Attachment]:
    found: QuerySet[Attachment] = visible(call, Attachment)
    return found


def show_files(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Attachment.objects.filter(pk__in=ids).values(*FILE_COLUMNS))
    named = entity_ids((row["entity_type"], row["entity_id"]) for row in rows)
    return [
        as_file(row, named.get(row["entity_id"], str(row["entity_id"])), ENTITY_NAME[row["entity_type"]])
        for row in rows
    ]


def list_files(call: Call) -> HttpResponseBase:
    return list_rows(call, files(call), file_fields(call), show_files, FILE_KEYS)


def read_file(call: Call, ident: str) -> Words:
    (words,) = show_files(call, [find(call, Attachment, ident).pk])
    return words


def upload(call: Call) -> list[Words]:
    """Multipart ``files``; what they belong to is in the query."""
    call.must("set_up", "record")
    kind, ident = call.parameter("entity_type"), call.parameter("entity_id")
    for name, value in (("entity_id", ident), ("entity_type", kind)):
        if value is None:
            raise Invalid("missing", ("query", name), "Field required")
    ours, row = find_entity(call, entity_word(kind or "", ("query", "entity_type")), ident or "")
    sent = [file for file in call.request.FILES.getlist("files") if isinstance(file, UploadedFile)]
    if not sent:
        raise Invalid("missing", ("body", "files"), "Field required")
    if len(sent) > MOST_FILES:
        raise Refusal(f"At most {MOST_FILES} files are taken at once.")
    kept = [attach(file, ours, row.pk, by=call.actor) for file in sent]
    return show_files(call, [attachment.pk for attachment in kept])


def download(call: Call, ident: str) -> FileResponse:
    """Always as an attachment: what a sender calls HTML is not shown on our address."""
    attachment: Attachment = find(call, Attachment, ident)
    try:
        content = attachment.file.open("rb")
    except (FileNotFoundError, ValueError):
        raise not_found("File", ident) from None
    answer = FileResponse(content, as_attachment=True, filename=attachment.filename)
    answer.headers["Content-Type"] = "application/octet-stream"
    return answer


def remove_file(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    attachment = find(call, Attachment, ident)
    (words,) = show_files(call, [attachment.pk])
    detach(attachment, by=call.actor)
    return words
