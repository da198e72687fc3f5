from django.db import migrations

# Of 100 samples one that holds a rare word by chance says 1 %, and PostgreSQL then looks through the newest results.
# (Of texts over 1 kB it keeps no samples, and takes every word that is no common one for rare.)
FORWARD = "ALTER TABLE results_searchtext ALTER COLUMN text SET STATISTICS 250"
BACKWARD = "ALTER TABLE results_searchtext ALTER COLUMN text SET STATISTICS -1"


class Migration(migrations.Migration):
    dependencies = [("results", "0012_reviewed_as_asked")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
