from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"
    label = "runs"

    def ready(self) -> None:
        from evalhub.web.context import HOOKS
        from runs.current import project_links

        HOOKS.projects = project_links
