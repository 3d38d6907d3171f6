// Classifies a picture with a client that @hey-api/openapi-ts has generated: typescript.js BASE_URL PICTURE.
import { classify, describeModel, health, listModels, type Classification, type JsonRequest, type Problem, type Results } from "./generated";
import { client } from "./generated/client.gen";
import { formDataBodySerializer } from "./generated/client";

declare const process: any;
declare const require: any;

const assert = require("node:assert");
const [baseUrl, file] = process.argv.slice(2);
const bytes = require("node:fs").readFileSync(file);
const picture = new Blob([bytes], { type: "image/png" });
client.setConfig({ baseUrl });

/** The first label of each of an answer's results, which have so many predictions. */
const labels = (answer: Classification | Results | undefined, count: number) => {
  const results = (answer && "results" in answer ? answer.results : [answer]) as Classification[];
  results.forEach(result => assert.equal(result.predictions.length, count, JSON.stringify(result)));
  return results.map(result => result.predictions[0].label);
};

/** The generator types the body of the one media type that it prefers; the others are sent by its documented `bodySerializer`. */
const body = (of: unknown) => of as JsonRequest;

const main = async () => {
  const raw = await classify({ body: body(picture), bodySerializer: null, headers: { "Content-Type": "image/png" } });
  assert.deepEqual(labels(raw.data, 5), ["cat"]);

  const form = await classify({ body: body({ image: [picture, picture], top_k: 2 }), ...formDataBodySerializer, headers: { "Content-Type": null } });
  assert.deepEqual(labels(form.data, 2), ["cat", "cat"]);

  const json = await classify({ body: { images: [bytes.toString("base64")], top_k: 3, model: null }, query: { top_k: 3, attention: "full" } });
  assert.deepEqual(labels(json.data, 3), ["cat"]);

  const refused = await classify({ body: { images: [] } });
  assert.equal((refused.error as Problem).type, "/problems/invalid-body");

  const name = (await listModels()).data!.models[0].name;
  assert.equal((await describeModel({ path: { name } })).data!.name, name);
  assert.equal((await health()).data!.status, "ready");
};
main().catch(error => { console.error(error); process.exit(1); });
