// Makes the calls that a test asks for with the real @gentrace/core: a line of JSON each, [function, arguments].
const path = require("node:path");
const readline = require("node:readline");
const { createRequire } = require("node:module");
const load = createRequire(path.join(process.env.CLIENT_FOLDER, "package.json"));
const g = load("@gentrace/core");
const { File } = load("@web-std/file");

const answer = (test, output) => ({ value: output, asked: test });

class Shouting extends g.GentracePlugin {
  constructor(config) {
    super();
    this.config = config;
  }
  getConfig() {
    return this.config;
  }
  advanced({ pipelineRun }) {
    const { mark } = this.config;
    return { shout: (said) => pipelineRun.measure((text) => text.toUpperCase() + mark, [said], { providerName: "shouting" }) };
  }
}

// Functions whose arguments do not travel as JSON: they get what travels, and what a user's code would do is in here.
const own = {
  init(values) {
    g.init({ apiKey: process.env.KEY, basePath: process.env.HOST, showConnectionErrors: "all", ...values });
  },
  async runTest(slug, output, filter, context) {
    const pipeline = new g.Pipeline({ slug });
    const handler = async (test) => {
      const run = pipeline.start({ metadata: { nightly: { type: "boolean", value: true } } });
      await run.measure((inputs) => answer(inputs, output), [test.inputs], {
        providerName: "acme", invocation: "generate", modelParams: { temperature: 0 },
        context: { metadata: { model: { type: "string", value: "m-1" } } },
      });
      run.checkpoint({ providerName: "acme", invocation: "tidy", inputs: { draft: output }, outputs: { value: output } });
      return [output, run];
    };
    return g.runTest(slug, handler, context ?? undefined, filter ? (test) => test.name.includes(filter) : undefined);
  },
  async runTestWithDataset(slug, dataset, output) {
    const pipeline = new g.Pipeline({ slug });
    return g.runTestWithDataset(slug, dataset, async (test) => {
      const run = pipeline.start();
      await run.measure((inputs) => answer(inputs, output), [test.inputs]);
      return [output, run];
    });
  },
  async runners({ slug, dataset, output, filter, context, update, pipelineId }) {
    const pipeline = new g.Pipeline({ slug, id: pipelineId });
    const keep = filter ? (test) => test.name.includes(filter) : undefined;
    const pairs = await g.getTestRunners(pipeline, dataset ?? undefined, keep);
    for (const [run, test] of pairs) await run.measure((inputs) => answer(inputs, output), [test.inputs]);
    const ids = pairs.map(([run]) => run.getId());
    const given = update
      ? await g.updateTestResultWithRunners(update, pairs)
      : await g.submitTestRunners(pipeline, pairs, context ?? undefined);
    if (!update) await g.submitTestRunners(pipeline, pairs, context ?? undefined); // the same once more: still one
    return { ...given, ids };
  },
  async production({ slug, previous, waitForServer, selectFields }) {
    const pipeline = new g.Pipeline({ slug });
    const run = pipeline.start({ userId: "u-1", previousRunId: previous, metadata: { shop: { type: "string", value: "oslo" } } });
    await run.measure((text) => ({ value: text.toUpperCase(), html: "<b>hi</b>" }), ["hello"], {
      providerName: "acme", invocation: "generate", modelParams: { temperature: 0.5 },
      context: { render: { type: "html", key: "html" } },
    });
    run.checkpoint({ inputs: { a: 1 }, outputs: { b: 2 } });
    const given = await run.submit({ waitForServer, selectFields });
    if (!waitForServer) given.flushed = await g.flush();
    return { ...given, id: run.getId() };
  },
  async submitFromJson(slug) {
    const pipeline = new g.Pipeline({ slug });
    const run = pipeline.start();
    run.checkpoint({ inputs: { a: 1 }, outputs: { b: 2 } });
    return { ...(await g.PipelineRun.submitFromJson(run.toJson(), { waitForServer: true })), id: run.getId() };
  },
  async plugin(slug) {
    const run = new g.Pipeline({ slug, plugins: { loud: new Shouting({ mark: "!" }) } }).start();
    await run.loud.shout("hi");
    return { ...(await run.submit({ waitForServer: true })), id: run.getId() };
  },
  uploadBuffer: (name, text) => g.uploadBuffer(name, Buffer.from(text)),
  uploadFile: (name, text) => g.uploadFile(new File([text], name, { type: "text/html" })),
  exported: () => Object.keys(g).filter((name) => typeof g[name] === "function"),
};

async function make([name, args, keywords]) {
  const last = Object.keys(keywords).length ? [keywords] : [];
  if (own[name]) return own[name](...args, ...last);
  const [version, method] = name.split(".");
  if (!method) return g[name](...args, ...last);
  const api = new g[`${version.toUpperCase()}Api`](g.globalGentraceConfig);
  return (await api[method](...args, ...last)).data;
}

async function main() {
  own.init({});
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let said;
    try {
      said = { value: (await make(JSON.parse(line))) ?? null };
    } catch (error) {
      const response = error?.response;
      said = { error: { status: response?.status ?? null, body: response?.data ?? null, text: String(error?.message ?? error) } };
    }
    process.stdout.write(`@@ ${JSON.stringify(said)}\n`);
  }
}

main();
