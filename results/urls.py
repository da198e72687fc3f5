from results import urls_review

app_name = "results"

urlpatterns = [*urls_review.urlpatterns]
