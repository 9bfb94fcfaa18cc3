// `once NAME COMMAND` runs a check, unless the same one has passed over the same files and packages: `make test` asks for what `make check`
// has asked for. The cache of ESLint itself would not do: rules that know types depend on other files than the one they judge.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";

const MADE = /^(node_modules|dist)/;

/** @param {string} folder @returns {string[]} */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => `${folder}/${path}`)
    .filter((path) => statSync(path).isFile());
}

/** @param {string} command */
function markOf(command) {
  const here = readdirSync(".").filter((name) => !MADE.test(name));
  const files = here.flatMap((name) => (statSync(name).isDirectory() ? filesIn(name) : [name]));
  const digest = createHash("sha256").update(`${process.version}\n${command}\n`);
  for (const file of [...files.sort(), "node_modules/.stamp"]) {
    digest.update(`${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${file}\n`);
  }
  return digest.digest("hex");
}

/** @param {string} path */
function contentOf(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const [name = "", command = ""] = process.argv.slice(2);
const passed = `node_modules/.passed/${name}`;
const mark = markOf(command);
if (contentOf(passed) !== mark) {
  const { status } = spawnSync(command, { shell: true, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  if (markOf(command) === mark) {
    mkdirSync("node_modules/.passed", { recursive: true });
    writeFileSync(passed, mark);
  }
}
