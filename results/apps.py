from django.apps import AppConfig


class ResultsConfig(AppConfig):
    name = "results"
    label = "results"

    def ready(self) -> None:
        from evalhub.accounts.members import on_leaving
        from results.assigning import release_of

        on_leaving(release_of)
