#!/usr/bin/env -S node --max-semi-space-size=32
// Young objects get 32 MB before they are collected: a request makes many, and nearly all die with it.
// Starts the program. In a checkout it first builds what is missing or older than the sources; an
// installed package has no sources. Nothing of that goes to stdout.
import { existsSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 12)) {
  process.stderr.write(`tollgate needs Node.js 20.12 or later; this is ${process.version}\n`);
  process.exit(1);
}

const isThere = (path) => existsSync(new URL(path, import.meta.url));
const inCheckout = ["../src/main.ts", "../scripts/build.js", "../node_modules/typescript/package.json"].every(
  isThere,
);

if (inCheckout) {
  try {
    const { buildIfStale } = await import("../scripts/build.js");
    await buildIfStale();
  } catch (error) {
    process.stderr.write(`tollgate: ${error.message}\n`);
    process.exit(1);
  }
}
if (!isThere("../dist/main.js")) {
  process.stderr.write('tollgate: nothing is built yet, and what builds it is missing; run "npm ci" first\n');
  process.exit(1);
}
await import("../dist/main.js");
