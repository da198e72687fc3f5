from django.db import migrations
from django.db.models import F


def let_the_reviewed_be_reviewed(apps, schema_editor):
    """A question that nobody was asked no longer keeps open what people have reviewed."""
    results = apps.get_model("results", "TestResult").objects.filter(review_state="open")
    results.filter(review_count__gt=0, reviews_done__gte=F("reviews_required")).update(review_state="reviewed")


class Migration(migrations.Migration):
    dependencies = [("results", "0011_begun_by_other_indexes")]

    operations = [migrations.RunPython(let_the_reviewed_be_reviewed, migrations.RunPython.noop)]
