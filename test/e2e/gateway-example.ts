import type { StartGateway } from "../support/gateway-world.ts";

/** What the gateways do differently. */
export interface GatewayExample {
  readonly name: string;
  /** Its page in docs/gateways, the language of its configuration there, and the example's files. */
  readonly page: { readonly file: string; readonly language: string; readonly shows: readonly string[] };
  readonly start: StartGateway;
  /** Whether clients are told what is left of their points on admitted requests too. */
  readonly pointsOnAdmitted: boolean;
  /** What a client gets while Tollgate is not there. */
  readonly withoutTollgate: Outage;
  /** What a client gets while Tollgate does not answer; none: too late for a test to wait. */
  readonly withTollgateFrozen: readonly [] | readonly [Outage];
}

export interface Outage {
  readonly status: number;
  readonly contentType: readonly string[];
  readonly body: string;
}

/** The problem that gateways with a choice answer while Tollgate does not. */
export const UNDECIDED: Outage = {
  status: 503,
  contentType: ["application/problem+json"],
  body: JSON.stringify({
    type: "about:blank",
    title: "Service Unavailable",
    status: 503,
    detail: "The request cannot be authorized now; try again later.",
    reason: "UNDECIDED",
  }),
};
