"""Files that people and clients attached: given back for saving, never for showing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.csp import CSP
from django.views.decorators.http import require_safe

from evalhub.accounts.access import requires, ruled
from evalhub.accounts.actor import MemberRequest
from evalhub.accounts.tokens import TokenRefused, actor_from_bearer
from runs.models import Attachment

MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}", re.ASCII)
ANY_FILE = "application/octet-stream"

type View = Callable[..., HttpResponseBase]


def for_programs_too(view: View) -> View:
    """Let a token in where the request bears one, and otherwise whoever the page lets in."""

    @wraps(view)
    def guarded(request: MemberRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        header = request.headers.get("Authorization")
        if header is None:
            return requires("read")(view)(request, *args, **kwargs)
        try:
            request.actor = actor_from_bearer(header)
        except TokenRefused as refused:
            return HttpResponse(str(refused), status=401, content_type="text/plain; charset=utf-8")
        return view(request, *args, **kwargs)

    return ruled(guarded, "read")


@require_safe
@for_programs_too
def attachment(request: MemberRequest, attachment_id: UUID) -> FileResponse:
    """The file under its sender's name. Whatever is in it, no browser runs it as one of our pages."""
    found = get_object_or_404(Attachment.objects.visible_to(request.actor), pk=attachment_id)
    try:
        content = found.file.open("rb")
    except (FileNotFoundError, ValueError):
        raise Http404("The file is gone.") from None
    said = found.content_type.lower()
    response = FileResponse(
        content,
        as_attachment=True,
        filename=found.filename,
        content_type=said if MEDIA_TYPE.fullmatch(said) else ANY_FILE,
    )
    response["Content-Security-Policy"] = f"default-src {CSP.NONE}; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response
