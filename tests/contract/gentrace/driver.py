"""Makes the calls of a test with the real gentrace-py: a line of JSON each, [function, arguments, keywords]."""

import asyncio
import importlib
import inspect
import io
import json
import os
import sys
from decimal import Decimal

import gentrace
from gentrace.providers.init import GENTRACE_CONFIG_STATE


def plain(value):
    """The client's schema objects as JSON has them."""
    names = {kind.__name__ for kind in type(value).__mro__}
    if "NoneClass" in names:
        return None
    if "BoolClass" in names:
        return bool(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def answer(inputs, output):
    return {"value": output, "asked": inputs}


def init(**values):
    gentrace.init(**{"api_key": os.environ["KEY"], "host": os.environ["HOST"], **values})


def run_test(slug, output, **options):
    pipeline = gentrace.Pipeline(slug)
    if options.get("case_filter"):
        part = options["case_filter"]
        options["case_filter"] = lambda case: part in str(case["name"])

    def handler(case):
        run = pipeline.start({"metadata": {"nightly": {"type": "boolean", "value": True}}})
        run.measure(
            lambda **inputs: answer(inputs, output),
            **plain(case["inputs"]),
            step_info={
                "provider": "acme",
                "invocation": "generate",
                "model_params": {"temperature": 0},
                "context": {"metadata": {"model": {"type": "string", "value": "m-1"}}},
            },
        )
        run.checkpoint(
            {"provider": "acme", "invocation": "tidy", "inputs": {"draft": output}, "outputs": {"value": output}}
        )
        return [output, run]

    return gentrace.run_test(slug, handler, **options)


def runners(slug, output, dataset=None, filter=None, context=None, update=None, fails=None):
    pipeline = gentrace.Pipeline(slug)
    keep = {"case_filter": lambda case: filter in str(case["name"])} if filter else {}
    pairs = gentrace.get_test_runners(pipeline, **({"dataset_id": dataset} if dataset else {}), **keep)
    for run, case in pairs:
        try:
            run.measure(lambda **inputs: explode(fails) or answer(inputs, output), **plain(case["inputs"]))
        except RuntimeError as error:
            run.set_error(str(error))
    ids = [run.get_id() for run, _ in pairs]
    if update:
        return {**plain(gentrace.update_test_result_with_runners(update, pairs)), "ids": ids}
    given = plain(gentrace.submit_test_runners(pipeline, pairs, **({"context": context} if context else {})))
    gentrace.submit_test_runners(pipeline, pairs)  # the same once more: still one
    return {**given, "ids": ids}


def explode(text):
    if text:
        raise RuntimeError(text)


def production(slug, previous=None, waitForServer=True):
    run = started(slug, previous)
    given = plain(run.submit(wait_for_server=waitForServer))
    if not waitForServer:
        gentrace.flush()
    return {**given, "id": run.get_id()}


def production_async(slug):
    run = started(slug, None)

    async def submit():
        await run.ameasure(later, text="more")
        return await run.asubmit()

    return {**plain(asyncio.run(submit())), "id": run.get_id()}


async def later(text):
    return text + "!"


def started(slug, previous):
    context = {"userId": "u-1", "metadata": {"shop": {"type": "string", "value": "oslo"}}}
    run = gentrace.Pipeline(slug).start({**context, **({"previousRunId": previous} if previous else {})})
    run.measure(
        lambda text: {"value": text.upper(), "html": "<b>hi</b>"},
        text="hello",
        step_info={
            "provider": "acme",
            "invocation": "generate",
            "model_params": {"temperature": 0.5},
            "context": {"render": {"type": "html", "key": "html"}},
        },
    )
    run.checkpoint({"inputs": {"a": 1}, "outputs": {"b": 2}})
    return run


def openai(slug, url):
    """The ids of the production calls that the SDK's own OpenAI reports, by what was asked of it."""
    gentrace.configure_openai()
    options = {"api_key": "none", "base_url": url}
    client, known = gentrace.OpenAI(**options), {"model": "m", "pipeline_slug": slug}
    template = {"contentTemplate": "Hi {{name}}", "contentInputs": {"name": "Ann"}}
    asked = {"messages": [{"role": "user", **template}], **known}
    told = {"prompt_template": "Hi {{name}}", "prompt_inputs": {"name": "Ann"}}
    ids = {
        "completion": client.completions.create(**told, **known).pipelineRunId,
        "embedding": client.embeddings.create(input="hi", **known).pipelineRunId,
        "stream": [part.pipelineRunId for part in client.chat.completions.create(**asked, stream=True)].pop(),
        "async": asyncio.run(gentrace.AsyncOpenAI(**options).chat.completions.create(**asked)).pipelineRunId,
    }
    pipeline = gentrace.Pipeline(slug, openai_config=options)
    pipeline.setup()
    run = pipeline.start()
    run.get_openai().embeddings.create(model="m", input="hi")
    ids["pipeline"] = run.submit(wait_for_server=True)["pipelineRunId"]
    gentrace.flush()
    return plain(ids)


def upload_file(name, text):
    path = os.path.join(os.environ["HOME"], name)
    with open(path, "w") as file:
        file.write(text)
    with io.FileIO(path, mode="rb") as file:
        url = gentrace.upload_file(file)
    os.remove(path)
    return url


OWN = {
    "init": init,
    "run_test": run_test,
    "runners": runners,
    "production": production,
    "production_async": production_async,
    "openai": openai,
    "upload_file": upload_file,
    "upload_bytes": lambda name, text: gentrace.upload_bytes(name, text.encode()),
    "upload_without_a_name": lambda: gentrace.upload_file(b"hello \x00\xff"),
    "exported": lambda: [name for name, value in vars(gentrace).items() if name[0] != "_" and inspect.isroutine(value)],
}


def make(name, arguments, keywords):
    version, _, method = name.partition(".")
    if method:
        kind = getattr(importlib.import_module(f"gentrace.apis.tags.{version}_api"), f"{version.title()}Api")
        api = kind(api_client=gentrace.ApiClient(configuration=GENTRACE_CONFIG_STATE["global_gentrace_config"]))
        return getattr(api, method)(*arguments, **keywords).body
    return OWN.get(name, getattr(gentrace, name, None))(*arguments, **keywords)


def main():
    init()
    for line in sys.stdin:
        try:
            said = {"value": plain(make(*json.loads(line)))}
        except gentrace.ApiException as error:
            body = json.loads(error.body) if error.body else None
            said = {"error": {"status": error.status, "body": body, "text": str(error)}}
        except Exception as error:
            said = {"error": {"status": None, "body": None, "text": f"{type(error).__name__}: {error}"}}
        print("@@ " + json.dumps(said), flush=True)


main()
