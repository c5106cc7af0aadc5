CREATE TABLE "audit_log" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_log_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"time" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"caller_id" text NOT NULL,
	"actor_user_id" text NOT NULL,
	"action" text NOT NULL,
	"detail" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "caller_tokens" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"grants" jsonb NOT NULL,
	"apis" jsonb NOT NULL,
	"digest" text collate "C" NOT NULL,
	"create_time_ms" bigint NOT NULL,
	"expire_time_ms" bigint,
	"revoke_time_ms" bigint
);
--> statement-breakpoint
CREATE TABLE "change_counter" (
	"id" smallint PRIMARY KEY NOT NULL,
	"number" bigint NOT NULL,
	CONSTRAINT "change_counter_one_row" CHECK ("change_counter"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "changes" (
	"number" bigint NOT NULL,
	"part" integer NOT NULL,
	"change" jsonb NOT NULL,
	"time" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "changes_number_part_pk" PRIMARY KEY("number","part")
);
--> statement-breakpoint
CREATE TABLE "keys" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"api" text collate "C" NOT NULL,
	"type" text NOT NULL,
	"environment" text NOT NULL,
	"workspace_id" text collate "C" NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"created_by" text collate "C" NOT NULL,
	"role" text NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"scopes" jsonb NOT NULL,
	"preview" text NOT NULL,
	"disabled" boolean NOT NULL,
	"metadata" jsonb NOT NULL,
	"allowed_cidrs" jsonb NOT NULL,
	"create_time_ms" bigint NOT NULL,
	"expire_time_ms" bigint,
	"revoke_time_ms" bigint,
	"revoke_reason" text NOT NULL,
	"last_use_time_ms" bigint,
	"digest" text collate "C" NOT NULL,
	"previous_digest" text collate "C",
	"previous_expire_time_ms" bigint,
	"previous_last_use_time_ms" bigint,
	"revision" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "members" (
	"directory" text collate "C" NOT NULL,
	"workspace_id" text collate "C" NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"role" text NOT NULL,
	"all_locations" boolean NOT NULL,
	"location_ids" jsonb NOT NULL,
	"removed" boolean NOT NULL,
	"source_version" numeric(20, 0) NOT NULL,
	"revision" integer NOT NULL,
	CONSTRAINT "members_directory_workspace_id_user_id_pk" PRIMARY KEY("directory","workspace_id","user_id")
);
--> statement-breakpoint
CREATE TABLE "replicas" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"applied" bigint NOT NULL,
	"policies" jsonb NOT NULL,
	"renew_time" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "request_claims" (
	"caller_id" text collate "C" NOT NULL,
	"operation" text collate "C" NOT NULL,
	"request_id" text collate "C" NOT NULL,
	"key_id" text collate "C" NOT NULL,
	CONSTRAINT "request_claims_caller_id_operation_request_id_pk" PRIMARY KEY("caller_id","operation","request_id")
);
--> statement-breakpoint
CREATE TABLE "workspaces" (
	"directory" text collate "C" NOT NULL,
	"id" text collate "C" NOT NULL,
	"name" text NOT NULL,
	"plan" text NOT NULL,
	"features" jsonb NOT NULL,
	"withheld_scopes" jsonb NOT NULL,
	"suspended" boolean NOT NULL,
	"source_version" numeric(20, 0) NOT NULL,
	"revision" integer NOT NULL,
	CONSTRAINT "workspaces_directory_id_pk" PRIMARY KEY("directory","id")
);
--> statement-breakpoint
CREATE INDEX "audit_log_time" ON "audit_log" USING btree ("time");--> statement-breakpoint
CREATE UNIQUE INDEX "caller_tokens_digest" ON "caller_tokens" USING btree ("digest");--> statement-breakpoint
CREATE INDEX "caller_tokens_page" ON "caller_tokens" USING btree ("create_time_ms","id");--> statement-breakpoint
CREATE INDEX "changes_time" ON "changes" USING btree ("time");--> statement-breakpoint
CREATE UNIQUE INDEX "keys_digest" ON "keys" USING btree ("digest");--> statement-breakpoint
CREATE UNIQUE INDEX "keys_previous_digest" ON "keys" USING btree ("previous_digest");--> statement-breakpoint
CREATE INDEX "keys_page" ON "keys" USING btree ("create_time_ms","id");--> statement-breakpoint
CREATE INDEX "keys_workspace_page" ON "keys" USING btree ("workspace_id","create_time_ms","id");--> statement-breakpoint
CREATE INDEX "keys_api_workspace_page" ON "keys" USING btree ("api","workspace_id","create_time_ms","id");--> statement-breakpoint
CREATE INDEX "keys_created_by_page" ON "keys" USING btree ("created_by","create_time_ms","id");