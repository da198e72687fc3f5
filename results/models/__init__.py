from results.models.results import Evaluation, Feedback, Outcome, Rollup, SearchText, Step, TestResult
from results.models.reviews import Review, ReviewAssignment, ReviewRound

__all__ = [
    "Evaluation",
    "Feedback",
    "Outcome",
    "Review",
    "ReviewAssignment",
    "ReviewRound",
    "Rollup",
    "SearchText",
    "Step",
    "TestResult",
]
