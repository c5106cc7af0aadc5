ALTER TABLE "replicas" ADD COLUMN "lease_ms" integer DEFAULT 1000 NOT NULL;--> statement-breakpoint
ALTER TABLE "replicas" ADD COLUMN "version" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "replicas" ADD COLUMN "start_time" timestamp (3) with time zone DEFAULT now() NOT NULL;