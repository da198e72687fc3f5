from django.apps import AppConfig


class ResultsConfig(AppConfig):
    name = "results"
    label = "results"

    def ready(self) -> None:
        from evalhub.accounts.members import on_leaving
        from evalhub.web.context import HOOKS
        from results.assigning import release_of
        from results.queues import count_open_for

        on_leaving(release_of)
        HOOKS.open_reviews = count_open_for
