"""The demo organisation: loaded once, by the same verbs that everything else uses."""

from __future__ import annotations

import base64
import hmac
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from evalhub.accounts.models import ApiToken, Membership, Organization, User, digest_of
from evalhub.accounts.rights import Role, Scope
from evalhub.database.ids import same_ids_each_time
from evalhub.demo.contracts import load_contracts
from evalhub.demo.support import load_support
from evalhub.importers.importing import import_file
from results.assigning import assign_reviewers, decline, withdraw
from results.models import Outcome, ReviewAssignment, TestResult
from results.reviewing import Correction, submit_review
from runs.models import Comment, Endpoint, EntityType, Evaluator, Project, SavedView, TestRun

DATA = Path(__file__).parent / "data"
SLUG = "acme"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # the demo's ids say so, and are the same on every machine
PEOPLE: dict[str, tuple[str, str, str]] = {
    "olga": ("Olga Berg", Role.ADMIN, "admin of Acme, and operator of this installation"),
    "ines": ("Ines Kowalski", Role.LEAD, "evaluation lead"),
    "hana": ("Hana Sato", Role.REVIEWER, "reviewer"),
    "luca": ("Luca Moretti", Role.REVIEWER, "reviewer"),
    "priya": ("Priya Nair", Role.REVIEWER, "reviewer"),
    "tom": ("Tom Adeyemi", Role.VIEWER, "viewer"),
}


class Login(TypedDict):
    email: str
    password: str
    about: str


class Demo(TypedDict):
    api_token: str
    users: list[Login]


def load_demo(base_url: str) -> Demo:
    """Make the demo organisation if it is not there, point its endpoints at ``base_url``, and say how to get in.

    Passwords and token follow from this installation's SECRET_KEY, so they stay the same and are stored nowhere.
    """
    reachable = base_url.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")
    chat = f"{reachable}/demo/chat/"
    known = Organization.objects.filter(slug=SLUG).exists()
    with transaction.atomic(), nullcontext() if known else same_ids_each_time(EPOCH):
        organization, made = Organization.objects.get_or_create(slug=SLUG, defaults={"name": "Acme"})
        token = f"ehb_{_secret('token')}{_secret('more')}"
        token_known = ApiToken.objects.filter(organization=organization, digest=digest_of(token)).exists()
        people = {key: _person(organization, key, known=token_known) for key in PEOPLE}
        if not token_known:  # the first start, or a new SECRET_KEY
            ApiToken.issue(
                user=people["olga"],
                organization=organization,
                name="demo",
                scopes=list(Scope.values),
                secret=token,
            )
        if made:
            project = load_support(organization, people, chat)
            load_contracts(organization, people, chat)
            _load_files(organization, people["ines"])
            _review(project, people)
        Endpoint.objects.filter(organization=organization, url__endswith="/demo/chat/").update(url=chat)
    logins: list[Login] = [
        {"email": person.email, "password": _secret(key), "about": PEOPLE[key][2]} for key, person in people.items()
    ]
    return {"api_token": token, "users": logins}


def _person(organization: Organization, key: str, *, known: bool) -> User:
    name, role, _ = PEOPLE[key]
    operator = key == "olga"
    user = User.objects.filter(email=f"{key}@acme.example").first()
    if user is None:
        user = User.objects.create_user(
            f"{key}@acme.example", _secret(key), name=name, is_staff=operator, is_superuser=operator
        )
    elif not known:
        user.set_password(_secret(key))
        user.save(update_fields=["password"])
    Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": role})
    return user


def _secret(name: str) -> str:
    digest = hmac.digest(settings.SECRET_KEY.encode(), f"evalhub.demo:{name}".encode(), "sha256")
    return base64.b32encode(digest).decode().lower()[:16]


def _load_files(organization: Organization, by: User) -> None:
    """Files that the tools wrote themselves: Inspect AI with its mock model, promptfoo with its echo provider."""
    for slug, name, filename in (
        ("mental-arithmetic", "Mental arithmetic", "mental_arithmetic.eval"),
        ("greeting-prompts", "Greeting prompts", "greeting_prompts.json"),
    ):
        project = Project.objects.create(organization=organization, name=name, slug=slug, owner=by)
        import_file(DATA / filename, project, by=by, filename=filename)


def _review(project: Project, people: dict[str, User]) -> None:
    """Reviews in every state: done, corrected, in conflict, open, overdue, started, declined, withdrawn."""
    now = timezone.now()
    older, newest = TestRun.objects.filter(
        project=project, external_id__in=("demo-nightly-13", "demo-nightly-14")
    ).order_by("created_at")
    team = [people["hana"], people["luca"], people["priya"]]
    _sign_off(older, team, people["ines"])

    failing = TestResult.objects.filter(run=newest).exclude(outcome=Outcome.PASSED).order_by("position")
    round_ = assign_reviewers(
        list(failing),
        team,
        by=people["ines"],
        overlap=2,
        overlap_percent=40,
        due_at=now + timedelta(days=2),
        name="Nightly, release 14",
        rubric="Pass what you would send to a customer without a change. **Money** must never be promised.",
        seed=2,
    )
    dealt = list(round_.assignments.select_related("result__run__project", "reviewer").order_by("id"))
    twice = next(one.result_id for one in dealt if one.slot == 2)
    disputed = [one for one in dealt if one.result_id == twice]
    late, declined, taken_back, *rest = [one for one in dealt if one.result_id != twice]
    for assignment, verdict in zip(disputed, ("passed", "failed"), strict=True):
        submit_review(assignment.result, by=_reviewer(assignment), verdict=verdict, assignment=assignment, seconds=64)
    ReviewAssignment.objects.filter(pk=late.pk).update(due_at=now - timedelta(days=1))
    decline(declined, by=_reviewer(declined), reason="I wrote this rule and should not judge it.")
    withdraw(taken_back, by=people["ines"])
    for n, assignment in enumerate(rest[: len(rest) // 2]):
        _judge(assignment, n)

    passing = list(TestResult.objects.filter(run=newest, outcome=Outcome.PASSED).order_by("position")[:12])
    assign_reviewers(
        passing, [people["hana"], people["luca"]], by=people["ines"], due_at=now - timedelta(hours=3),
        name="A look at what passes", rubric="Would you have let it pass?", seed=3,
    )  # fmt: skip
    first = passing[0]
    Comment.objects.create(
        organization_id=project.organization_id,
        entity_type=EntityType.RESULT,
        entity_id=first.pk,
        author=people["ines"],
        text="Short and right. Can we have this tone for shipping as well?",
    )
    SavedView.objects.create(
        organization_id=project.organization_id, user=people["ines"], page="runs", name="Nightlies on main",
        query="q=nightly", shared=True,
    )  # fmt: skip


def _sign_off(run: TestRun, team: list[User], by: User) -> None:
    """A finished round: everybody agreed with the judges, nearly."""
    some = list(TestResult.objects.filter(run=run).exclude(outcome=Outcome.ERROR).order_by("position")[::4])
    due_at = run.created_at + timedelta(days=3)
    round_ = assign_reviewers(some, team, by=by, name="Release 13 sign-off", due_at=due_at, seed=1)
    for n, assignment in enumerate(round_.assignments.select_related("result", "reviewer").order_by("id")):
        machine = assignment.result.machine_outcome
        verdict = "passed" if machine == Outcome.PASSED else "failed"
        if n % 9 == 4:
            verdict = "failed" if verdict == "passed" else "passed"
        submit_review(
            assignment.result,
            by=_reviewer(assignment),
            verdict=verdict,
            assignment=assignment,
            seconds=20.0 + 7 * (n % 5),
        )


def _reviewer(assignment: ReviewAssignment) -> User:
    assert assignment.reviewer is not None
    return assignment.reviewer


def _judge(assignment: ReviewAssignment, n: int) -> None:
    """One reviewer's visit: they mostly agree, sometimes correct, sometimes cannot tell."""
    result = assignment.result
    human = Evaluator.objects.filter(project=result.run.project, who=Evaluator.Who.HUMAN).first()
    pending = result.evaluations.filter(evaluator=human, state="pending").exists()
    verdict, label, comment = (
        ("failed", "Never", "Promises money that the rules do not allow."),
        ("failed", "With changes", ""),
        ("passed", "As it is", "Clear enough; the judge wants every word of the rule."),
        ("cant_tell", "With changes", "Depends on the order's date."),
    )[n % 4]
    corrections = [Correction(evaluator=human, label=label)] if human and pending else []
    submit_review(
        result, by=_reviewer(assignment), verdict=verdict, comment=comment, corrections=corrections,
        assignment=assignment, seconds=25.0 + 11 * (n % 6),
    )  # fmt: skip
