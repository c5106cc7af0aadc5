-- The one row that gives changes their numbers.
INSERT INTO "change_counter" ("id", "number") VALUES (1, 0);
