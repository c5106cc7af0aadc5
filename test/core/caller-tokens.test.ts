import { expect, it } from "vitest";
import { createCallerTokens, newCallerToken } from "../../src/core/caller-tokens.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import type { CallerTokenStore, RightsSource } from "../../src/core/ports.ts";
import type { CallerTokenRecord } from "../../src/core/records.ts";
import { admin, callerWith, NO_DEADLINE } from "./world.ts";

const ADMIN_TOKEN = "an-admin-token-of-32-characters-or-more";

function createTokens() {
  const records = new Map<string, CallerTokenRecord>();
  let nowMs = 1000;
  const store: CallerTokenStore = {
    findByDigest: async (digest) => [...records.values()].find((record) => record.digest === digest),
    async create(record) {
      records.set(record.id, record);
      return { record, change: 1n };
    },
    list: async () => ({ records: [...records.values()], next: undefined }),
    async revoke(id, options) {
      const record = records.get(id);
      if (record === undefined) return "missing";
      const revoked = { ...record, revokeTimeMs: record.revokeTimeMs ?? options.nowMs };
      records.set(id, revoked);
      return { record: revoked, change: 1n };
    },
  };
  const rights: Pick<RightsSource, "callerToken"> = { callerToken: store.findByDigest };
  const policies = createPolicySet([]);
  const tokens = createCallerTokens({
    policies: () => policies,
    store,
    rights,
    adminToken: ADMIN_TOKEN,
    nowMs: () => nowMs,
  });
  return { tokens, wait: (ms: number) => void (nowMs += ms) };
}

const sidecar = { name: "sidecar", grants: ["check", "check"], apis: [], expireTimeMs: 2000 } as const;

it("a token is its holder's until it expires or is revoked", async () => {
  const { tokens, wait } = createTokens();
  const { token, secret } = await tokens.create(sidecar, admin, NO_DEADLINE);
  expect(token.grants).toEqual(["check"]);
  expect(await tokens.authenticate(tokens.present(secret), NO_DEADLINE)).toMatchObject({ id: token.id });
  wait(1000);
  expect(await tokens.authenticate(tokens.present(secret), NO_DEADLINE)).toBeUndefined();
  const other = await tokens.create({ ...sidecar, expireTimeMs: undefined }, admin, NO_DEADLINE);
  await tokens.revoke(other.token.id, admin, NO_DEADLINE);
  expect(await tokens.authenticate(tokens.present(other.secret), NO_DEADLINE)).toBeUndefined();
  await expect(tokens.revoke("ct_none", admin, NO_DEADLINE)).rejects.toMatchObject({ code: "not_found" });
});

it("what cannot be a token is told without a store", () => {
  const { tokens } = createTokens();
  const { secret } = newCallerToken(sidecar, 0);
  for (const plausible of [secret, ADMIN_TOKEN]) expect(tokens.present(plausible).isPlausible).toBe(true);
  for (const not of ["", "tgc_", `${secret}x`, secret.replace("tgc_", "tgd_"), `${ADMIN_TOKEN} `]) {
    expect(tokens.present(not).isPlausible).toBe(false);
  }
});

it("an admin who is limited to some apis neither makes, nor sees, nor ends tokens, which are everybody's", async () => {
  const { tokens } = createTokens();
  const limited = callerWith(["admin"], ["shop"]);
  const { token } = await tokens.create(sidecar, admin, NO_DEADLINE);
  for (const attempt of [
    tokens.create({ ...sidecar, apis: ["shop"] }, limited, NO_DEADLINE),
    tokens.list({ pageSize: 0, pageToken: "" }, limited, NO_DEADLINE),
    tokens.revoke(token.id, limited, NO_DEADLINE),
  ]) {
    await expect(attempt).rejects.toMatchObject({ code: "permission_denied", reason: "API_NOT_GRANTED" });
  }
});

it("an expiry in the past is INVALID_ARGUMENT", async () => {
  const { tokens } = createTokens();
  await expect(tokens.create({ ...sidecar, expireTimeMs: 1000 }, admin, NO_DEADLINE)).rejects.toMatchObject({
    violations: [{ field: "expire_time" }],
  });
});
