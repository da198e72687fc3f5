"""At 100,000 results no list of the pages makes PostgreSQL read results or evaluations from end to end."""

import json
from collections.abc import Iterator

import pytest
from django.db import connection

from evalhub.web.paging import EXACT_UP_TO
from results.filters import REVIEWS, SORTS, VERDICTS, ResultFilter
from results.models import Outcome
from results.recording import record_results
from results.records import Judgement, ResultRecord
from runs.cases import CaseSpec
from runs.filters import both_ways
from runs.models import Evaluator
from tests.factories import make_actor, make_case, make_project, make_result, make_run, make_test_set

RUNS, PER_RUN = 20, 5_000
MOST = 3 * EXACT_UP_TO  # rows that a question may take in: lists are counted exactly up to 10,000
BIG = {"results_testresult", "results_evaluation", "results_searchtext"}
WORDS = ["refund", "parcel", "voucher", "guarantee", "invoice", "address", "delivery", "account", "order", "return"]


ACROSS_RUNS = ("q", "project", "outcome", "review", "reviewer", "tag", "archived")  # what that page's form offers


def columns_of(table: str, *own: str) -> str:
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, table)]
    return ", ".join(f'"{name}"' for name in names if name not in own)


def fill(run, template, evaluators) -> None:
    """PER_RUN copies of a result, unlike each other in what lists filter and sort by, each with its evaluations."""
    own = ("id", "run_id", "case_id", "position", "outcome", "machine_outcome", "review_state", "latency_ms", "tags",
           "external_id", "created_at", "corrected", "repetition")  # fmt: skip
    words = f"(ARRAY{WORDS})[1 + (random() * 9)::int]"
    with connection.cursor() as cursor:
        kept = columns_of("results_testresult", *own)
        cursor.execute(
            f"""
            INSERT INTO results_testresult ({kept}, {", ".join(own)})
            SELECT {kept}, gen_random_uuid(), %(run)s, NULL, n, word, word,
                (ARRAY['none', 'open', 'reviewed', 'conflict'])[1 + n %% 4], random() * 5000, ARRAY[{words}],
                NULL, now() - n * interval '1 second', n %% 50 = 0, 1 + n %% 3
            FROM results_testresult template, LATERAL (
                SELECT n, (ARRAY['passed', 'failed', 'error', 'unjudged'])[1 + n %% 4] AS word
                FROM generate_series(1, %(count)s) n
            ) made WHERE template.id = %(template)s
            """,
            {"run": run.pk, "count": PER_RUN, "template": template.pk},
        )
        cursor.execute(
            f"""
            INSERT INTO results_searchtext (result_id, organization_id, run_id, text, indexed)
            SELECT id, organization_id, run_id, {words} || ' ' || {words} || ' ' || position, position %% 100 > 0
            FROM results_testresult WHERE run_id = %s AND id <> %s
            """,
            [run.pk, template.pk],
        )
        own = ("id", "run_id", "result_id", "evaluator_id", "outcome", "value", "passed", "effective")
        kept = columns_of("results_evaluation", *own)
        for evaluator in evaluators:
            cursor.execute(
                f"""
                INSERT INTO results_evaluation ({kept}, {", ".join(own)})
                SELECT {", ".join(f"template.{name}" for name in kept.split(", "))}, gen_random_uuid(), r.run_id, r.id,
                    %(evaluator)s, r.outcome, random(), r.outcome = 'passed', r.outcome = 'passed'
                FROM results_evaluation template, results_testresult r
                WHERE template.result_id = %(template)s AND r.run_id = %(run)s AND r.id <> %(template)s
                """,
                {"evaluator": evaluator.pk, "run": run.pk, "template": template.pk},
            )


class Plans:
    """Explains every SELECT on the big tables; ``whole`` are those that read one from end to end, by whatever index."""

    def __init__(self, tables: set[str] = BIG, most: int = MOST) -> None:
        self.tables, self.most = tables, most
        self.asked, self.whole = 0, list[str]()

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith("SELECT") and any(table in sql for table in self.tables):
            self.asked += 1
            asking = type(context["cursor"].cursor)  # each names parameters in its own way
            with asking(connection.connection) as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
                [[plan]] = cursor.fetchall()
            found = plan if isinstance(plan, list) else json.loads(plan)
            self.whole += [
                f"{node['Node Type']} of {read_by(node):,} rows: {sql[:2000]}"
                for node in nodes(found[0]["Plan"])
                if node.get("Relation Name") in self.tables
                and (node["Node Type"] == "Seq Scan" or read_by(node) > self.most)
            ]
        return execute(sql, params, many, context)


def read_by(node: dict) -> float:
    return (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def questions(evaluator: Evaluator, actor) -> dict[str, list[str]]:
    """What each filter of a list may be asked; a new filter has to be named here."""
    of_evaluator = f"&evaluator={evaluator.pk}"
    return {
        "q": ["q=voucher", "q=ou", "q=nothing+like+it", "q=1042", "q=%231042"],
        "run": [],  # its own page
        "project": [f"project={evaluator.project.slug}"],
        "case": [],
        "outcome": [f"outcome={word}" for word in Outcome.values] + ["outcome=failed&outcome=error"],
        "machine_outcome": [f"machine_outcome={word}" for word in Outcome.values],
        "evaluator": [of_evaluator[1:]],
        "verdict": [f"verdict={word}{of_evaluator}" for word, _ in VERDICTS],
        "score_min": [f"score_min=0.9{of_evaluator}"],
        "score_max": [f"score_max=0.1{of_evaluator}"],
        "review": [f"review={word}" for word, _ in REVIEWS],
        "reviewer": ["reviewer=me", f"reviewer={actor.user.pk}"],
        "tag": ["tag=refund", "tag=nobody-has-it"],
        "variant": ["variant=1"],
        "repetition": ["repetition=2"],
        "latency_min": ["latency_min=4900"],
        "latency_max": ["latency_max=50"],
        "archived": ["archived=true"],
        "sort": [f"sort={word}{of_evaluator}" for word, _ in both_ways(SORTS)],
    }


@pytest.mark.django_db
def test_no_filter_and_no_sort_order_of_a_run_reads_a_big_table_whole(client):
    actor = make_actor()
    project = make_project(actor.organization)
    runs = [make_run(project, status="completed") for _ in range(RUNS)]
    template = make_result(runs[0], evaluations=[Judgement(evaluator=name, value=1.0) for name in ("tone",)])
    evaluators = [Evaluator.objects.get(name="tone"), Evaluator.objects.create(
        organization=actor.organization, project=project, name="policy")]  # fmt: skip
    for run in runs:
        fill(run, template, evaluators)
    with connection.cursor() as cursor:
        for index in ("search_text_indexed", "result_by_tag"):
            cursor.execute(f"SELECT gin_clean_pending_list('{index}')")  # as autovacuum does
        cursor.execute("ANALYZE")
    asked = questions(evaluators[1], actor)
    assert asked.keys() == ResultFilter.base_filters.keys()
    client.force_login(actor.user)
    found = {}

    for page, names in ((f"/runs/{runs[3].pk}/", asked), ("/results/", ACROSS_RUNS)):
        for query in ["", *(query for name in names for query in asked[name])]:
            plans = Plans()
            with connection.execute_wrapper(plans):
                answer = client.get(f"{page}?{query}")
            assert (answer.status_code, plans.asked > 0) == (200, True), f"{page}?{query}"
            if plans.whole:
                found[f"{page}?{query}"] = plans.whole

    assert found == {}


@pytest.mark.django_db
def test_the_cases_of_an_organisation_are_listed_and_counted_without_reading_those_of_others(client):
    actor = make_actor()
    mine, theirs = make_project(actor.organization), make_project()
    make_test_set(mine, cases=3)
    with connection.cursor() as cursor:
        kept = columns_of("runs_case", "id", "number", "external_id", "created_at")
        for project, count, first in ((mine, 2_000, "0"), (theirs, 40_000, "f")):  # ids grow with time
            cursor.execute(
                f"""
                INSERT INTO runs_case ({kept}, id, number, external_id, created_at)
                SELECT {kept}, (%s || substr(gen_random_uuid()::text, 2))::uuid, 1000 + n, NULL, clock_timestamp()
                FROM runs_case, generate_series(1, %s) n WHERE runs_case.id = %s
                """,
                [first, count, make_case(project).pk],
            )
        cursor.execute("ANALYZE")
    client.force_login(actor.user)
    found = {}

    for page in ("/cases/", "/test-sets/", f"/projects/{mine.pk}/"):
        plans = Plans({"runs_case"}, most=5_000)
        with connection.execute_wrapper(plans):
            answer = client.get(page)
        assert (answer.status_code, plans.asked > 0) == (200, True), page
        found[page] = plans.whole

    assert found == {"/cases/": [], "/test-sets/": [], f"/projects/{mine.pk}/": []}


@pytest.mark.django_db
def test_a_batch_of_a_run_that_is_new_to_the_statistics_looks_its_cases_up(django_assert_max_num_queries):
    project = make_project()
    for _ in range(3):
        run = make_run(project)
        fill(run, make_result(run), [])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE results_testresult")
    run = make_run(project)
    record_results(run, [ResultRecord(case=CaseSpec(external_id=f"early {n}")) for n in range(200)])

    with django_assert_max_num_queries(50) as asked:
        record_results(run, [ResultRecord(case=CaseSpec(external_id=f"late {n}")) for n in range(200)])

    (known,) = (one["sql"] for one in asked if '"outcome" FROM "results_testresult"' in one["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {known}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    looked_up_by = next(line for line in plan.splitlines() if "Index Cond" in line)
    assert "case_id = ANY" in looked_up_by, plan  # by the run alone it would read all that is in it, every time
