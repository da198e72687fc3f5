"""The first step after `createsuperuser`: an organisation, and the link that makes somebody its first admin."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.text import slugify

from evalhub.accounts.invitations import DAYS, invite
from evalhub.accounts.models import Organization
from evalhub.accounts.rights import Role
from evalhub.audit.models import record_event


class Command(BaseCommand):
    help = "Create an organisation and print an invitation link for its first admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="as people read it: 'Acme'")
        parser.add_argument("--admin", metavar="EMAIL", required=True, help="who is invited as its first admin")
        parser.add_argument("--slug", default="", help="short name in commands; made from NAME where absent")
        parser.add_argument("--address", metavar="URL", default="", help="where EvalHub is reached by browsers")
        parser.add_argument("--days", type=int, default=DAYS, help=f"how long the link works (default: {DAYS})")

    def handle(self, *args: Any, **options: Any) -> None:
        name, email = options["name"].strip(), options["admin"].strip().lower()
        slug = options["slug"] or slugify(name)
        address = (options["address"] or guessed_address()).rstrip("/")
        if not name or not slug or "\0" in name:
            raise CommandError("NAME needs at least one letter or digit; or say the short name with --slug.")
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email!r} is not an e-mail address.") from None
        if not 1 <= options["days"] <= 365:
            raise CommandError("--days must be between 1 and 365.")
        try:
            with transaction.atomic():
                organization = Organization(name=name, slug=slug)
                organization.full_clean(validate_unique=False)
                organization.save()
                record_event("organization.created", organization, by=None, organization_id=organization.pk)
                _, secret = invite(organization, email, Role.ADMIN, days=options["days"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except IntegrityError:
            raise CommandError(f"There is an organisation {slug!r} already. Choose another --slug.") from None
        self.stdout.write(f"Organisation {name} ({slug}) is there. Send this link to {email}:\n")
        self.stdout.write(f"  {address}{reverse('accounts:invitation-accept', args=[secret])}\n")
        self.stdout.write(f"It works once, for {options['days']} days, and is shown only now.")


def guessed_address() -> str:
    host = next((host for host in settings.ALLOWED_HOSTS if host not in ("*", "testserver")), "localhost").lstrip(".")
    if settings.PRODUCTION:
        return f"https://{host}"
    try:
        return str(json.loads((settings.VAR_DIR / "demo.json").read_text())["base_url"])
    except (OSError, ValueError, KeyError):  # no demo was started here
        return f"http://{host}:8000"
