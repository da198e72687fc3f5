from django.urls import path

from results import views_review

urlpatterns = [
    path("assignments/", views_review.assignment_create, name="assignment-create"),
    path("assignments/<uuid:assignment_id>/withdrawal/", views_review.assignment_withdraw, name="assignment-withdraw"),
    path("rounds/<uuid:round_id>/", views_review.round_detail, name="round-detail"),
    path("rounds/<uuid:round_id>/withdrawal/", views_review.round_withdraw, name="round-withdraw"),
    path("rounds/<uuid:round_id>/closing/", views_review.round_close, name="round-close"),
    path("rounds/<uuid:round_id>/claims/", views_review.round_claim, name="round-claim"),
    path("rounds/<uuid:round_id>/work/", views_review.round_work, name="round-work"),
    path("results/<str:result_id>/reviews/", views_review.quick_review, name="quick-review"),
    path("reviews/", views_review.review_list, name="review-list"),
    path("reviews/<uuid:assignment_id>/", views_review.review, name="review"),
    path("reviews/<uuid:assignment_id>/draft/", views_review.review_draft, name="review-draft"),
    path("reviews/<uuid:assignment_id>/refusal/", views_review.review_decline, name="review-decline"),
    path("verdicts/<uuid:review_id>/withdrawal/", views_review.review_withdraw, name="review-withdraw"),
]
