import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_known_words"),
        ("results", "0008_evaluation_of_run"),
        ("runs", "0008_lean_case_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="SearchText",
            fields=[
                (
                    "result",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="searched",
                        serialize=False,
                        to="results.testresult",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="runs.testrun",
                    ),
                ),
                ("text", models.TextField(blank=True, help_text="The first 2,000 characters of inputs and output.")),
                ("indexed", models.BooleanField(default=False)),
            ],
        ),
        migrations.RunSQL(
            """
            INSERT INTO results_searchtext (result_id, organization_id, run_id, text, indexed)
                SELECT id, organization_id, run_id, search_text, true FROM results_testresult
            """,
            """
            UPDATE results_testresult SET search_text = s.text FROM results_searchtext s
                WHERE s.result_id = results_testresult.id
            """,
        ),
        migrations.RemoveIndex(model_name="testresult", name="result_search"),
        migrations.RemoveField(model_name="testresult", name="search_text"),
        migrations.AddIndex(
            model_name="searchtext",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("indexed", True)),
                fields=["text"],
                name="search_text_indexed",
                opclasses=["gin_trgm_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="searchtext",
            index=models.Index(fields=["indexed", "run"], name="search_text_of_run"),
        ),
        migrations.RunSQL(
            """
            ALTER TABLE results_searchtext ADD CONSTRAINT search_text_of_its_result
                FOREIGN KEY (result_id, run_id, organization_id)
                REFERENCES results_testresult (id, run_id, organization_id) DEFERRABLE INITIALLY DEFERRED
            """,
            "ALTER TABLE results_searchtext DROP CONSTRAINT search_text_of_its_result",
        ),
    ]
