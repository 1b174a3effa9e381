CREATE TABLE "author" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"name" text NOT NULL,
	"born" timestamp with time zone,
	CONSTRAINT "author_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "book" (
	"id" bigint PRIMARY KEY NOT NULL,
	"author_id" uuid NOT NULL,
	"title" varchar(200) NOT NULL,
	"price" numeric(8, 2) DEFAULT '10.00' NOT NULL,
	"details" jsonb,
	"is_lent" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
ALTER TABLE "book" ADD CONSTRAINT "book_author_id_author_id_fk" FOREIGN KEY ("author_id") REFERENCES "public"."author"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX ASYNC "book_author" ON "book" ("author_id");
