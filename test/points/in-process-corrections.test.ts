import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { bucketCorrectionsContract } from "../contract/bucket-corrections.ts";

bucketCorrectionsContract("the in-process store", async () => {
  let clockMs = 0;
  const store = createInProcessBuckets({ now: () => clockMs });
  return {
    store,
    corrections: store,
    async setClock(ms) {
      clockMs = ms;
    },
    async close() {},
  };
});
