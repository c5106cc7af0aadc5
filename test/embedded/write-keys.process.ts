import { openEmbedded } from "../../src/embedded/pglite.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createStores } from "../../src/postgres/stores.ts";
import { audit, keyRecord, soon } from "../contract/records.ts";

// Creates keys, ten at a time, and prints the id of each that is acknowledged, until it is killed.
const database = await openEmbedded(process.argv[2] ?? "", {
  prepare: async (opened) => {
    await migrate(opened, soon());
  },
});
const { keys } = createStores(database);
for (;;) {
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const key = keyRecord();
      await keys.create(key, { claim: undefined, audit, deadline: soon() });
      process.stdout.write(`${key.id}\n`);
    }),
  );
}
