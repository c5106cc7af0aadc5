import { expect, test } from "vitest";
import { parseRedisUrl } from "../../src/redis/redis-url.ts";

test.each([
  [
    "redis://h",
    {
      shown: "redis://h",
      hosts: [{ host: "h", port: 6379 }],
      masterName: undefined,
      db: 0,
      tls: false,
      user: {},
    },
  ],
  ["rediss://h:1/", { shown: "rediss://h:1/", hosts: [{ host: "h", port: 1 }], db: 0, tls: true }],
  [
    "redis://me:a%2Fb:c%25@[::1]:7/12",
    {
      shown: "redis://[::1]:7/12",
      hosts: [{ host: "::1", port: 7 }],
      db: 12,
      user: { username: "me", password: "a/b:c%" },
    },
  ],
  ["redis://:word@h", { user: { password: "word" } }],
  ["redis://me@h", { user: { username: "me" } }],
  [
    "redis+sentinel://:word@a,[2001:db8::1]:5,c.example:6/My-master_1.x",
    {
      shown: "redis+sentinel://a,[2001:db8::1]:5,c.example:6/My-master_1.x",
      hosts: [
        { host: "a", port: 26_379 },
        { host: "2001:db8::1", port: 5 },
        { host: "c.example", port: 6 },
      ],
      masterName: "My-master_1.x",
      db: 0,
      tls: false,
      user: { password: "word" },
    },
  ],
  ["rediss+sentinel://a/points/3", { masterName: "points", db: 3, tls: true }],
])("%s is read", (url, expected) => {
  expect(parseRedisUrl(url)).toMatchObject(expected);
});
