// The rules of this house, as an oxlint plugin: .oxlintrc.json turns them on and holds the layer table.
import { isAbsolute, posix, relative, sep } from "node:path";

/** Path inside the checkout, with forward slashes; "" for a file outside of it. */
function pathInside(context) {
  const path = relative(context.cwd, context.filename).split(sep).join("/");
  return path.startsWith("../") || isAbsolute(path) ? "" : path;
}

/** `src/core/keys.ts` is of the layer `core`, `src/app.ts` of the layer `app`; undefined outside of src. */
function layerOf(path) {
  const [root, name, ...rest] = path.split("/");
  if (root !== "src" || name === undefined) return undefined;
  return rest.length > 0 ? name : name.replace(/\.ts$/, "");
}

/** `@scope/name/sub` is of the package `@scope/name`. */
function packageOf(specifier) {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Rows may name a layer, a package, `node:name`, `node:*`, `@scope/*`, `*`, and exceptions as `!name`. */
function matches(row, target) {
  if (row.includes(`!${target}`)) return false;
  return row.some(
    (entry) => entry === target || (entry.endsWith("*") && target.startsWith(entry.slice(0, -1))),
  );
}

const layers = {
  meta: {
    type: "problem",
    docs: { description: "a folder of src imports only what its row of the layer table names" },
    schema: [{ type: "object", additionalProperties: { type: "array", items: { type: "string" } } }],
  },
  create(context) {
    const path = pathInside(context);
    const layer = layerOf(path);
    if (layer === undefined) return {};
    const row = context.options[0][layer];
    const check = (source) => {
      if (source?.type !== "Literal" || typeof source.value !== "string") return;
      const specifier = source.value;
      const target = specifier.startsWith(".")
        ? layerOf(posix.normalize(posix.join(posix.dirname(path), specifier)))
        : packageOf(specifier);
      if (target === layer) return;
      if (row === undefined) {
        context.report({
          node: source,
          message: `src/${layer} has no row in the layer table of .oxlintrc.json`,
        });
      } else if (target === undefined || !matches(row, target)) {
        context.report({ node: source, message: `${layer} may not import ${target ?? specifier}` });
      }
    };
    return {
      ImportDeclaration: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      ImportExpression: (node) => check(node.source),
      TSImportType: (node) => check(node.source ?? node.argument),
    };
  },
};

/** Identifier or string literal of this name. */
function named(node, name) {
  return node?.type === "Identifier" ? node.name === name : node?.type === "Literal" && node.value === name;
}

const noEnvironment = {
  meta: { type: "problem", docs: { description: "one file reads the environment" }, schema: [] },
  create(context) {
    const report = (node) =>
      context.report({
        node,
        message: "only src/config.ts reads the environment: take the value as an argument",
      });
    const isProcess = (node) =>
      named(node, "process") || (node?.type === "MemberExpression" && named(node.property, "process"));
    return {
      MemberExpression(node) {
        if (isProcess(node.object) && named(node.property, "env")) report(node);
      },
      VariableDeclarator(node) {
        if (node.id.type !== "ObjectPattern" || !isProcess(node.init)) return;
        for (const property of node.id.properties) if (named(property.key, "env")) report(property);
      },
      ImportDeclaration(node) {
        if (node.source.value !== "node:process" && node.source.value !== "process") return;
        for (const specifier of node.specifiers) if (named(specifier.imported, "env")) report(specifier);
      },
    };
  },
};

const noBarrel = {
  meta: {
    type: "problem",
    docs: { description: "a name is imported from the file that makes it" },
    schema: [],
  },
  create(context) {
    return {
      Program(program) {
        const passedOn = program.body.filter(
          (node) =>
            node.type === "ExportAllDeclaration" || (node.type === "ExportNamedDeclaration" && node.source),
        );
        const own = program.body.filter(
          (node) => node.type !== "ImportDeclaration" && !passedOn.includes(node),
        );
        for (const node of passedOn) {
          if (node.type === "ExportAllDeclaration" || own.length === 0) {
            context.report({ node, message: "no barrels: import the name from the file that makes it" });
          }
        }
      },
    };
  },
};

/** In any part of a name, and as a whole name. */
const vagueWords = new Set(["util", "utils", "helper", "helpers", "common", "manager", "impl", "misc"]);
const vagueNames = new Set(["index", "types", "constants"]);

const fileName = {
  meta: { type: "problem", docs: { description: "a file is named after its main export" }, schema: [] },
  create(context) {
    return {
      Program() {
        const loc = { start: { line: 1, column: 0 }, end: { line: 1, column: 1 } };
        const path = pathInside(context);
        const names = path.split("/").filter((name) => !name.startsWith("."));
        for (const name of names) {
          const words = name.split(".")[0];
          if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(words)) {
            context.report({ loc, message: `${name}: names are kebab-case` });
          }
          if (vagueNames.has(words) || words.split("-").some((word) => vagueWords.has(word))) {
            context.report({ loc, message: `${name}: name the thing that is in it, not its kind` });
          }
        }
      },
    };
  },
};

// oxlint takes a plugin as a default export.
export default {
  meta: { name: "tollgate" },
  rules: { layers, "no-environment": noEnvironment, "no-barrel": noBarrel, "file-name": fileName },
};
