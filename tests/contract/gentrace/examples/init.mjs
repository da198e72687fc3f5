import { init } from "@gentrace/core";

init({ apiKey: process.env.KEY, basePath: process.env.HOST });
