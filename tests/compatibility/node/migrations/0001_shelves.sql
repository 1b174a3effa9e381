ALTER TABLE "book" ADD COLUMN "shelf" integer;
--> statement-breakpoint
CREATE UNIQUE INDEX "book_title_once" ON "book" USING btree ("author_id","title");
