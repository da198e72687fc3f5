"""Forms of the import pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files import File
from django.http import QueryDict

from evalhub.accounts.actor import Actor
from evalhub.importers.mapping import LAYOUTS, OF_EVALUATOR, ROLES, ColumnMapping
from evalhub.importers.problems import ImportProblem, Limits, megabytes
from evalhub.importers.tables import Column, Table
from runs.models import Project


class UploadForm(forms.Form):
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None, help_text="Where the runs go.")
    file = forms.FileField(allow_empty_file=True, label="File")

    def __init__(self, data: Any = None, files: Any = None, *, actor: Actor, initial: dict[str, Any]) -> None:
        super().__init__(data, files, initial=initial, label_suffix="")
        projects: Any = self.fields["project"]
        projects.queryset = Project.objects.visible_to(actor).current()
        self.fields["file"].help_text = f"Up to {megabytes(Limits.current().file_bytes)}: .eval .json .jsonl .csv"

    def clean_file(self) -> File[Any]:
        file: File[Any] = self.cleaned_data["file"]
        most = Limits.current().file_bytes
        if (file.size or 0) > most:
            raise ValidationError(f"The file is larger than {megabytes(most)}.")
        return file


class MappingForm(forms.Form):
    """One line for each column of the table."""

    layout = forms.ChoiceField(choices=list(LAYOUTS.items()), widget=forms.RadioSelect)

    def __init__(self, data: QueryDict | None = None, *, table: Table, mapping: ColumnMapping) -> None:
        super().__init__(data, label_suffix="", initial={"layout": mapping.layout})
        self.columns = table.columns
        for position, column in enumerate(table.columns):
            meaning = mapping.columns.get(column.name)
            role = forms.ChoiceField(choices=list(ROLES.items()), initial=meaning.role if meaning else "metadata")
            role.widget.attrs = {"class": "select", "aria-label": f"Meaning of {column.name}"}
            evaluator = forms.CharField(max_length=200, required=False, initial=meaning.evaluator if meaning else "")
            evaluator.widget.attrs |= {"class": "input", "aria-label": f"Evaluator of {column.name}"}
            threshold = forms.FloatField(required=False, initial=meaning.threshold if meaning else None)
            threshold.widget.attrs |= {"class": "input", "step": "any", "aria-label": f"Passes from, {column.name}"}
            self.fields[f"role-{position}"] = role
            self.fields[f"evaluator-{position}"] = evaluator
            self.fields[f"threshold-{position}"] = threshold

    def lines(self) -> Iterator[tuple[Column, Any, Any, Any]]:
        for position, column in enumerate(self.columns):
            yield column, self[f"role-{position}"], self[f"evaluator-{position}"], self[f"threshold-{position}"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        columns = {}
        for position, column in enumerate(self.columns):
            said: dict[str, Any] = {"role": cleaned[f"role-{position}"]}
            if said["role"] in OF_EVALUATOR:
                said["evaluator"] = cleaned[f"evaluator-{position}"]
                said["threshold"] = cleaned[f"threshold-{position}"]
            columns[column.name] = said
        known = [column.name for column in self.columns]
        try:
            cleaned["mapping"] = ColumnMapping.from_json({"layout": cleaned["layout"], "columns": columns}, known)
        except ImportProblem as problem:
            raise ValidationError(str(problem)) from None
        return cleaned
