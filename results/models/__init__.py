from results.models.results import Evaluation, Feedback, Rollup, Step, TestResult
from results.models.reviews import Review, ReviewAssignment, ReviewRound

__all__ = [
    "Evaluation",
    "Feedback",
    "Review",
    "ReviewAssignment",
    "ReviewRound",
    "Rollup",
    "Step",
    "TestResult",
]
