/**
 * The key in a request's `Authorization`, whose values are joined by commas where there are several
 * (RFC 9110 5.3); null: there is none. Answers "" where no bearer credential was sent, and what is no key's
 * form where one was sent that cannot be read as `Bearer KEY` (RFC 6750 2.1), such as two of them: which
 * of them the service behind would take cannot be known.
 */
export function keyOfAuthorization(authorization: string | null): string {
  if (authorization === null || !/bearer/i.test(authorization)) return "";
  return BEARER.exec(authorization)?.[1] ?? NO_KEY;
}

/** Visible ASCII without commas; Node and gateways take away blanks around the value. */
const BEARER = /^Bearer +([!-+\--~]+)$/i;

/** Neither the key format nor a pattern of imported keys, which are of visible characters, can match it. */
const NO_KEY = "\0";
