import { init, getTestResult } from "@gentrace/core";
 
const testResult = await getTestResult("FACB6642-4725-4FAE-9323-634E72533C89");
 
console.log("Test result ID:", testResult.id);
console.log("Test result pipeline:", testResult.pipeline);
console.log("Test result runs:", testResult.runs);
console.log("Test result first run, first evaluation:", testResult?.runs?.[0]?.evaluations?.[0]);
console.log("Test result first evaluator:", testResult.pipeline?.evaluators?.[0]);
