from django.urls import path

import evalhub.web.addresses  # noqa: F401  (registers <id:…>)
from results import urls_review, views_production, views_repeating, views_result, views_run

app_name = "results"

urlpatterns = [
    *urls_review.urlpatterns,
    path("runs/<id:run_id>/", views_run.run_detail, name="run-detail"),
    path("runs/<id:run_id>/filters/", views_run.run_results_filters, name="run-results-filters"),
    path("runs/<id:run_id>/export/", views_run.run_results_export, name="run-results-export"),
    path("runs/<id:run_id>/repetitions/", views_repeating.run_repeat, name="run-repeat"),
    path("runs/<id:run_id>/scorings/", views_repeating.run_rescore, name="run-rescore"),
    path("results/", views_run.result_list, name="result-list"),
    path("results/filters/", views_run.result_filters, name="result-filters"),
    path("results/<id:result_id>/", views_result.result_detail, name="result-detail"),
    path("results/<id:result_id>/html/", views_result.result_html, name="result-html"),
    path("results/<id:result_id>/steps/<int:position>/", views_result.step_detail, name="step-detail"),
    path("projects/<id:project_id>/production/", views_production.production_list, name="production-list"),
    path("comments/", views_result.comment_create, name="comment-create"),
    path("comments/<uuid:comment_id>/edit/", views_result.comment_edit, name="comment-edit"),
    path("comments/<uuid:comment_id>/deletion/", views_result.comment_delete, name="comment-delete"),
    path("comments/<uuid:comment_id>/restoration/", views_result.comment_restore, name="comment-restore"),
]
