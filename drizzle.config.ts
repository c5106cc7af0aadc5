import { defineConfig } from "drizzle-kit";

// A default export is the form that drizzle-kit reads.
export default defineConfig({
  dialect: "postgresql",
  schema: "./src/postgres/schema.ts",
  out: "./migrations",
});
