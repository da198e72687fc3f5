from runs.models.cases import Case, CaseRevision, Category, Prompt, Requirement, TestSet, TestSetCase, Topic
from runs.models.evaluators import Evaluator, EvaluatorVersion
from runs.models.notes import (
    Attachment,
    CaseVerdict,
    Comment,
    EntityType,
    IdempotencyKey,
    Import,
    Lookup,
    SavedView,
    Tag,
    Task,
)
from runs.models.projects import Endpoint, Folder, Project
from runs.models.runs import ConfigurationEvaluator, Shard, TestConfiguration, TestRun, TestSetEvaluator, Variant

__all__ = [
    "Attachment",
    "Case",
    "CaseRevision",
    "CaseVerdict",
    "Category",
    "Comment",
    "ConfigurationEvaluator",
    "Endpoint",
    "EntityType",
    "Evaluator",
    "EvaluatorVersion",
    "Folder",
    "IdempotencyKey",
    "Import",
    "Lookup",
    "Project",
    "Prompt",
    "Requirement",
    "SavedView",
    "Shard",
    "Tag",
    "Task",
    "TestConfiguration",
    "TestRun",
    "TestSet",
    "TestSetCase",
    "TestSetEvaluator",
    "Topic",
    "Variant",
]
