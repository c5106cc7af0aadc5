import { denyReasons } from "../core/deny-reason.ts";
import { parseDuration } from "./duration.ts";
import { suggestOrList } from "./suggest.ts";
import { changeOf } from "./test-change.ts";
import { checksOf } from "./test-check.ts";
import type { Expected, TestStep } from "./test-file.ts";
import { type Action, differences, outcomeOfError, StepError } from "./test-outcome.ts";
import type { TestWorld } from "./test-world.ts";

/** Plays one step, and says what came out differently than expected; empty: nothing. */
export async function playStep(
  world: TestWorld,
  step: TestStep,
  context: { readonly key: string | undefined },
): Promise<readonly string[]> {
  try {
    checkDeed(step);
    const expected = readExpectation(step);
    if (step.wait !== undefined) {
      world.wait(parseDuration(step.wait));
      return [];
    }
    const failures = new Set<string>();
    for (let time = 1; time <= (step.times ?? 1) && failures.size === 0; time++) {
      for (const { label, run } of actionsOf(world, step, context.key)) {
        const outcome = await run().catch(outcomeOfError);
        const times = step.times === undefined ? "" : ` (time ${time} of ${step.times})`;
        for (const failure of await differences(outcome, expected)) {
          failures.add(`${label}${times}: ${failure}`);
        }
      }
    }
    return [...failures];
  } catch (error) {
    if (error instanceof StepError) return [error.message];
    throw error;
  }
}

/** "allowed" and "done" are the absence of a reason and of an error. */
function readExpectation(step: TestStep): Expected {
  const { expect } = step;
  if (expect === undefined) {
    if (isCheck(step))
      throw new StepError("A check needs an expectation; write expect: allowed, or a reason.");
    return {};
  }
  if (typeof expect !== "string") {
    checkReason(expect.reason);
    checkReason(expect.shadow_reason);
    return expect;
  }
  if (expect === (isCheck(step) ? "allowed" : "done")) return {};
  if (!isCheck(step)) return { error: expect };
  checkReason(expect);
  return { reason: expect };
}

function checkReason(reason: string | undefined): void {
  if (reason === undefined || Object.hasOwn(denyReasons, reason)) return;
  throw new StepError(`There is no reason ${reason}.${suggestOrList(reason, Object.keys(denyReasons))}`);
}

function isCheck(step: TestStep): boolean {
  return step.request !== undefined || step.permission !== undefined;
}

/** One step does one thing, so that its expectation is of that. */
const DEEDS = [
  "request",
  "permission",
  "wait",
  "create_key",
  "rotate_key",
  "update_key",
  "revoke_key",
  "revoke_secret",
  "show_key",
  "set_workspace",
  "set_member",
  "remove_member",
] as const satisfies readonly (keyof TestStep)[];

function checkDeed(step: TestStep): void {
  const deeds = DEEDS.filter((deed) => step[deed] !== undefined);
  if (deeds.length === 0) throw new StepError(`The step does nothing; write one of ${DEEDS.join(", ")}.`);
  if (deeds.length > 1) {
    throw new StepError(`The step does several things (${deeds.join(", ")}); write a step for each.`);
  }
}

function actionsOf(world: TestWorld, step: TestStep, caseKey: string | undefined): readonly Action[] {
  if (isCheck(step)) return checksOf(world, step, caseKey);
  const change = changeOf(world, step);
  return change === undefined ? [] : [change];
}
