// Runs the compiled code of docs/frontend.md as a browser does, and prints what it got as JSON.
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

// bundlers find "./client" without its ending, Node does not
registerHooks({
  resolve: (name, context, next) => next(name.startsWith("./") ? `${name}.js` : name, context),
});
const [folder, token, projectId, question] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}.js`));

// the page asks its own server for the token
const fetchFromNetwork = globalThis.fetch;
globalThis.fetch = async (...wanted) =>
  wanted[0] === "/api/tenant-token" ? Response.json({ token }) : fetchFromNetwork(...wanted);

const { api, ApiError } = await load("client");
const { ask, search, upload } = await load("projects");
const { askStreamed } = await load("streamed-answer");

const uploaded = await upload(
  projectId,
  [
    new File(["The warranty of the Ignite boiler lasts 5 years."], "warranty.txt"),
    new File(["The Ignite boiler costs 1,200 euros."], "prices.txt"),
  ],
  { department: "sales", year: 2024 },
);
const path = { project_id: projectId };
let files;
do {
  await new Promise((resolve) => setTimeout(resolve, 100));
  files = (await api.GET("/api/v1/ingestion/projects/{project_id}/files", { params: { path } })).data.files;
} while (files.some((file) => file.status === "in_progress"));

const answer = await ask(projectId, question);
const passages = await search(projectId, question);
const filters = {
  type: "and",
  filters: [
    { type: "in", key: "department", value: ["sales", "support"] },
    { type: "gte", key: "year", value: 2024 },
  ],
};
const matching = await search(projectId, question, 10, filters);
const others = await search(projectId, question, 10, { type: "ne", key: "department", value: "sales" });
const events = [];
await askStreamed(projectId, question, (event) => events.push(event));
const refused = await ask(crypto.randomUUID(), question).catch((error) => error);
console.log(
  JSON.stringify({
    uploaded: uploaded.files.length,
    files: files.map((file) => [file.filename, file.status]),
    answer: answer.answer,
    passages: passages.map((passage) => passage.filename),
    matching: matching.length,
    others: others.length,
    events,
    refused: refused instanceof ApiError ? refused.problem.code : String(refused),
  }),
);
