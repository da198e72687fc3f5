"""What every table of EvalHub shares."""

from django.db import models

from evalhub.database.ids import new_id


class Record(models.Model):
    """A row with our own time-ordered id and its two times."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
