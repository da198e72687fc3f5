"""Comments, the tag list and saved views."""

from __future__ import annotations

from typing import Final

from django.http import Http404, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.rights import Role
from evalhub.api.finding import NO_SUCH, find, get, get_values
from evalhub.api.operations import PAGING, ApiView, Operation, check_not_stale, etag_of, pages_of
from evalhub.api.problems import Problem, conflict, field_problem
from evalhub.api.reading import read_query
from evalhub.api.rows import Row, choice, flag, moment, person, public_id, text, uuid, whole
from evalhub.api.set_up import EXTERNAL_ID
from evalhub.api.shapes import Choice, Flag, Ident, Shape, Text, Whole
from evalhub.audit.models import record_event
from evalhub.web.filters import TenantFilterSet
from evalhub.web.paging import Order
from results.filters import ResultFilter
from runs.filters import RunFilter
from runs.models import Comment, EntityType, SavedView, Tag
from runs.saved_views import clean_query, delete_view, save_view, share_view, views_for

# --- comments ---------------------------------------------------------------------------------------------------------

KINDS: Final = tuple(EntityType.values)
COMMENT: Final = Row(
    "Comment",
    {
        "id": public_id(),
        "uuid": uuid(),
        "entity_type": choice("entity_type", KINDS),
        "entity_id": uuid("entity_id", "Of what it is about."),
        "author": person("author"),
        "text": text("text"),
        "turn": whole("turn", "Of the conversation that it is about.", null=True),
        "created_at": moment("created_at", null=False),
        "edited_at": moment("edited_at"),
    },
)
_text = Text(required=True, least=1, most=Comment.LONGEST)
NEW_COMMENT: Final = Shape(
    "NewComment",
    {
        "entity_type": Choice(of=KINDS, required=True),
        "entity_id": Ident(required=True, doc="Its id, ours or yours."),
        "text": _text,
        "turn": Whole(null=True, most=100_000, doc="Of a result's conversation."),
        "external_id": EXTERNAL_ID,
    },
)
COMMENT_CHANGES: Final = Shape("CommentChanges", {"text": Text(least=1, most=Comment.LONGEST)}, partial=True)


class CommentList(ApiView):
    operations = {
        "GET": Operation(
            summary="List comments",
            action="read",
            doc="Newest first: all, or those on one thing.",
            query={"entity_type": Choice(of=KINDS), "entity_id": Ident(doc="With `entity_type`."), **PAGING},
            answer=pages_of(COMMENT, "CommentPage"),
        ),
        "POST": Operation(
            summary="Comment on something",
            action="comment",
            body=NEW_COMMENT,
            answer=COMMENT,
            status=201,
            example={"entity_type": "result", "entity_id": "result-123", "text": "Who wrote this policy?"},
        ),
    }

    def get(self, request: Request) -> Response:
        kind, ident = self.query.get("entity_type"), self.query.get("entity_id")
        comments = Comment.objects.visible_to(self.actor)
        if ident is not None and kind is None:
            raise field_problem("entity_type", "is required with entity_id")
        if kind is not None:
            comments = comments.filter(entity_type=kind)
        if kind is not None and ident is not None:
            entity = find(EntityType(kind).model, self.actor, ident)
            comments = comments.filter(entity_id=entity.pk) if entity else comments.none()
        return self.page(comments, Order("-created_at"), COMMENT)

    def post(self, request: Request) -> Response:
        said, actor = self.read_body(), self.actor
        entity = find(EntityType(said["entity_type"]).model, actor, said.pop("entity_id"))
        if entity is None:
            raise field_problem("entity_id", NO_SUCH)
        if said.get("turn") is not None and said["entity_type"] != EntityType.RESULT:
            raise field_problem("turn", "is for comments on results")
        if said.get("external_id") and Comment.objects.visible_to(actor).with_id(said["external_id"]).exists():
            raise conflict("The id is taken.", ("external_id", "is taken"))
        comment = Comment.objects.create(
            organization=actor.organization, author=actor.user, entity_id=entity.pk, **said
        )
        record_event("comment.created", entity, by=actor, comment=str(comment.pk))
        (shown,) = COMMENT.fetch(Comment.objects.filter(pk=comment.pk))
        url = reverse("api:comment-detail", args=[shown["id"]])
        return Response(shown, status=201, headers={"Location": request._request.build_absolute_uri(url)})


class CommentDetail(ApiView):
    operations = {
        "GET": Operation(summary="Read a comment", action="read", answer=COMMENT, etag=True),
        "PATCH": Operation(
            summary="Change a comment",
            action="comment",
            doc="Your own.",
            body=COMMENT_CHANGES,
            answer=COMMENT,
            etag=True,
        ),
        "DELETE": Operation(
            summary="Delete a comment", action="comment", doc="Your own; admins delete anybody's.", status=204
        ),
    }

    def answer(self, comment: Comment) -> Response:
        (shown,) = COMMENT.fetch(Comment.objects.filter(pk=comment.pk))
        return Response(shown, headers={"ETag": etag_of(shown, COMMENT_CHANGES.fields)})

    def get(self, request: Request, id: str) -> Response:
        return self.answer(get(Comment, self.actor, id))

    def mine(self, id: str, *, or_admin: bool = False) -> Comment:
        comment: Comment = get(Comment, self.actor, id, lock=True)
        is_mine = comment.author_id == self.actor.user.pk
        if not is_mine and not (or_admin and self.actor.role == Role.ADMIN):
            raise Problem(403, "This is somebody else’s comment.")
        return comment

    def patch(self, request: Request, id: str) -> Response:
        comment = self.mine(id)
        said = self.read_body()
        (before,) = COMMENT.fetch(Comment.objects.filter(pk=comment.pk))
        check_not_stale(request, etag_of(before, COMMENT_CHANGES.fields))
        if comment.rewrite(said.get("text", comment.text)):
            record_event("comment.changed", comment, by=self.actor)
        return self.answer(comment)

    def delete(self, request: Request, id: str) -> Response:
        comment = self.mine(id, or_admin=True)
        comment.deleted_at = timezone.now()
        comment.save(update_fields=["deleted_at", "updated_at"])
        record_event("comment.deleted", comment, by=self.actor)
        return Response(status=204)


# --- tags -------------------------------------------------------------------------------------------------------------

TAG: Final = Row(
    "Tag",
    {"id": public_id(), "uuid": uuid(), "name": text("name"), "icon": text("icon")},
    doc="A word of the organisation's tag list. Tagged things hold the name.",
)
NEW_TAG: Final = Shape(
    "NewTag",
    {
        "name": Text(required=True, least=1, most=80, line=True),
        "icon": Text(most=16, line=True),
        "external_id": EXTERNAL_ID,
    },
)


class TagList(ApiView):
    operations = {
        "GET": Operation(summary="List tags", action="read", query=PAGING, answer=pages_of(TAG, "TagPage")),
        "POST": Operation(
            summary="Add a tag to the list",
            action="set_up",
            body=NEW_TAG,
            answer=TAG,
            status=201,
            example={"name": "regression", "icon": "🐛"},
        ),
    }

    def get(self, request: Request) -> Response:
        return self.page(Tag.objects.visible_to(self.actor), Order("name"), TAG)

    def post(self, request: Request) -> Response:
        said, actor = self.read_body(), self.actor
        visible = Tag.objects.visible_to(actor)
        if visible.filter(name=said["name"]).exists():
            raise conflict(f"There is a tag “{said['name']}” already.", ("name", "is taken"))
        if said.get("external_id") and visible.with_id(said["external_id"]).exists():
            raise conflict("The id is taken.", ("external_id", "is taken"))
        tag = Tag.objects.create(organization=actor.organization, **said)
        record_event("tag.created", tag, by=actor)
        (shown,) = TAG.fetch(Tag.objects.filter(pk=tag.pk))
        url = reverse("api:tag-detail", args=[shown["id"]])
        return Response(shown, status=201, headers={"Location": request._request.build_absolute_uri(url)})


class TagDetail(ApiView):
    operations = {
        "GET": Operation(summary="Read a tag", action="read", answer=TAG),
        "DELETE": Operation(
            summary="Take a tag off the list", action="set_up", doc="What has the tag keeps it.", status=204
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        return Response(TAG.show(get_values(TAG, Tag, self.actor, id)))

    def delete(self, request: Request, id: str) -> Response:
        tag = get(Tag, self.actor, id, lock=True)
        record_event("tag.deleted", tag, by=self.actor)
        tag.delete()
        return Response(status=204)


# --- saved views ------------------------------------------------------------------------------------------------------

PAGES: Final[dict[str, type[TenantFilterSet]]] = {"runs": RunFilter, "results": ResultFilter}
VIEW: Final = Row(
    "View",
    {
        "id": uuid("id"),
        "page": choice("page", PAGES),
        "name": text("name"),
        "query": text("query", "The list's query string."),
        "shared": flag("shared", "Whether colleagues see it."),
        "user": person("user", "Whose it is; nobody else changes it."),
        "created_at": moment("created_at", null=False),
        "updated_at": moment("updated_at", null=False),
    },
    doc="A named query string of a list.",
)
NEW_VIEW: Final = Shape(
    "NewView",
    {
        "page": Choice(of=tuple(PAGES), required=True),
        "name": Text(required=True, least=1, most=80, line=True),
        "query": Text(required=True, most=4000, line=True, example="status=failed&sort=-created"),
        "shared": Flag(),
    },
)
VIEW_CHANGES: Final = Shape("ViewChanges", {"shared": Flag()}, partial=True)


class ViewList(ApiView):
    operations = {
        "GET": Operation(
            summary="List saved views",
            action="read",
            doc="Your own, and those that colleagues share.",
            query={"page": Choice(of=tuple(PAGES)), **PAGING},
            answer=pages_of(VIEW, "ViewPage"),
        ),
        "POST": Operation(
            summary="Save a view",
            action="save_view",
            doc="A name that you have on that page already gets the new query.",
            body=NEW_VIEW,
            answer=VIEW,
            status=201,
            example={"page": "runs", "name": "Failed", "query": "status=failed"},
        ),
    }

    def get(self, request: Request) -> Response:
        views = views_for(self.actor, self.query.get("page")).select_related(None)
        return self.page(views, Order("name"), VIEW)

    def post(self, request: Request) -> Response:
        said = self.read_body()
        try:
            read_query({}, PAGES[said["page"]], QueryDict(clean_query(said["query"])))
        except Problem as wrong:
            raise field_problem("query", wrong.detail.rstrip(".")) from None
        if "shared" not in said:
            mine = SavedView.objects.visible_to(self.actor).filter(user=self.actor.user)
            said["shared"] = mine.filter(page=said["page"], name=said["name"], shared=True).exists()
        view, _ = save_view(by=self.actor, **said)
        (shown,) = VIEW.fetch(SavedView.objects.filter(pk=view.pk))
        url = reverse("api:view-detail", args=[shown["id"]])
        return Response(shown, status=201, headers={"Location": request._request.build_absolute_uri(url)})


class ViewDetail(ApiView):
    operations = {
        "GET": Operation(summary="Read a saved view", action="read", answer=VIEW),
        "PATCH": Operation(
            summary="Share a saved view, or stop sharing it",
            action="save_view",
            doc="Your own.",
            body=VIEW_CHANGES,
            answer=VIEW,
        ),
        "DELETE": Operation(summary="Delete a saved view", action="save_view", doc="Your own.", status=204),
    }

    def found(self, id: str) -> SavedView:
        view: SavedView = get(SavedView, self.actor, id)
        if view.user_id != self.actor.user.pk and not view.shared:
            raise Http404
        return view

    def mine(self, id: str) -> SavedView:
        view = self.found(id)
        if view.user_id != self.actor.user.pk:
            raise Problem(403, "This is somebody else’s view.")
        return view

    def answer(self, view: SavedView) -> Response:
        (shown,) = VIEW.fetch(SavedView.objects.filter(pk=view.pk))
        return Response(shown)

    def get(self, request: Request, id: str) -> Response:
        return self.answer(self.found(id))

    def patch(self, request: Request, id: str) -> Response:
        view, said = self.mine(id), self.read_body()
        if "shared" in said:
            share_view(view, said["shared"], by=self.actor)
        return self.answer(view)

    def delete(self, request: Request, id: str) -> Response:
        delete_view(self.mine(id), by=self.actor)
        return Response(status=204)


urlpatterns: list[URLPattern] = [
    path("comments/", CommentList.as_view(), name="comment-list"),
    path("comments/<ident:id>/", CommentDetail.as_view(), name="comment-detail"),
    path("tags/", TagList.as_view(), name="tag-list"),
    path("tags/<ident:id>/", TagDetail.as_view(), name="tag-detail"),
    path("views/", ViewList.as_view(), name="view-list"),
    path("views/<ident:id>/", ViewDetail.as_view(), name="view-detail"),
]
