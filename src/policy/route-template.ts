import { isCanonicalPath } from "./canonical-path.ts";
import { suggest } from "./suggest.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const PARAMETER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

export interface RouteTemplate {
  readonly method: string;
  /** Of the path below the api's base path; a parameter begins with ":". */
  readonly segments: readonly string[];
  /** Names, in order. */
  readonly parameters: readonly string[];
}

/** Reads "GET /items/:id", or says what is wrong with it. */
export function parseRouteTemplate(match: string): { template: RouteTemplate } | { fault: string } {
  const [method = "", path = ""] = match.split(" ");
  if (!METHODS.includes(method)) {
    const reason =
      method === "HEAD"
        ? "HEAD follows GET; write the GET route"
        : `there is no method ${JSON.stringify(method)}; write one of ${METHODS.join(", ")}`;
    return { fault: `${reason}.${method === "HEAD" ? "" : suggest(method, METHODS)}` };
  }
  if (!path.startsWith("/")) return { fault: 'the path must begin with "/".' };
  const segments = path.slice(1).split("/");
  const parameters = segments.filter(isParameter).map((segment) => segment.slice(1));
  const misnamed = parameters.find((parameter) => !PARAMETER.test(parameter));
  if (misnamed !== undefined) {
    return {
      fault: `":${misnamed}" is no parameter; a parameter is a whole segment, ":" and a name of letters, digits and _.`,
    };
  }
  const repeated = parameters.find((parameter, index) => parameters.indexOf(parameter) !== index);
  if (repeated !== undefined) return { fault: `the parameter ":${repeated}" stands twice.` };
  const fixed = segments.map((segment) => (isParameter(segment) ? "x" : segment)).join("/");
  if (!isCanonicalPath(`/${fixed}`) || fixed.includes("%")) {
    return {
      fault:
        "no request could match it: write no empty or dot segments, no *, ; or %-escapes, and only letters, digits and -._~!$&'()+,=:@.",
    };
  }
  return { template: { method, segments, parameters } };
}

export function isParameter(segment: string): boolean {
  return segment.startsWith(":");
}

/** Equal for templates that match the same requests: names of parameters do not matter. */
export function templateIdentity(template: RouteTemplate): string {
  return `${template.method} /${template.segments.map((segment) => (isParameter(segment) ? ":" : segment)).join("/")}`;
}
