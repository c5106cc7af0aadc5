import { printable, type Terminal } from "./terminal.ts";

/** One step of the story: what is done, what came back, and what must. The texts are the same on every run. */
export interface Scene {
  /** The rule that it shows, such as "A9". */
  readonly rule: string;
  readonly what: string;
  readonly got: string;
  readonly want: string;
}

/** Where the story is told, as it happens, and its outcome kept. */
export interface Stage {
  heading(text: string): void;
  show(scene: Scene): void;
  /** What differs on every run, such as ids; told only on request. */
  aside(text: string): void;
  /** Tells the sum; true when everything came back as it must. */
  finish(): boolean;
}

export function createStage(terminal: Terminal, options: { asJson: boolean; verbose: boolean }): Stage {
  const { asJson, verbose } = options;
  const rules = new Set<string>();
  let shown = 0;
  let failed = 0;
  return {
    heading(text) {
      if (!asJson) terminal.print(`${shown === 0 ? "" : "\n"}${terminal.style("bold", text)}`);
    },
    show({ rule, what, got, want }) {
      const passed = got === want;
      shown++;
      rules.add(rule);
      if (!passed) failed++;
      if (asJson) {
        terminal.print(JSON.stringify({ rule, what, got, want, passed }));
        return;
      }
      const mark = passed ? terminal.style("green", "✓") : terminal.style("red", "✗");
      const difference = passed ? "" : terminal.style("red", `   (must be: ${want})`);
      terminal.print(`${mark} ${rule.padEnd(3)} ${what} → ${printable(got)}${difference}`);
    },
    aside(text) {
      if (verbose) terminal.note(terminal.noteStyle("dim", `      ${printable(text)}`));
    },
    finish() {
      if (asJson) terminal.print(JSON.stringify({ steps: shown, failed, rules: [...rules] }));
      else if (failed === 0) {
        terminal.print(
          terminal.style("green", `\nAll ${shown} steps of ${rules.size} rules came back as they must.`),
        );
      } else terminal.print(terminal.style("red", `\n${failed} of ${shown} steps came back differently.`));
      return failed === 0;
    },
  };
}
