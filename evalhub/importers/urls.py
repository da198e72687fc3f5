from django.urls import path

from evalhub.importers import views

app_name = "imports"
urlpatterns = [
    path("imports/", views.import_list, name="import-list"),
    path("imports/new/", views.import_create, name="import-create"),
    path("imports/<uuid:pk>/", views.import_detail, name="import-detail"),
    path("imports/<uuid:pk>/mapping/", views.import_mapping, name="import-mapping"),
    path("imports/<uuid:pk>/attempts/", views.import_retry, name="import-retry"),
    path("imports/<uuid:pk>/removal/", views.import_discard, name="import-discard"),
]
