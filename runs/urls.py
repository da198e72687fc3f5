from django.urls import path

from runs import views

app_name = "runs"

urlpatterns = [
    path("runs/", views.run_list, name="run-list"),
    path("runs/filters/", views.run_filters, name="run-filters"),
    path("runs/progress/", views.run_progress, name="run-progress"),
    path("runs/export/", views.run_export, name="run-export"),
    path("runs/assignments/", views.run_assign, name="run-assign"),
    path("runs/archival/", views.run_archive, name="run-archive"),
    path("runs/restoration/", views.run_restore, name="run-restore"),
    path("runs/<str:run_id>/cancellation/", views.run_cancel, name="run-cancel"),
]
