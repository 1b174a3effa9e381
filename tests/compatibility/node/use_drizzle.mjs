// Drizzle over the Aurora DSQL connector for node-postgres: migrations, queries, relations, transactions that conflict;
// prints what it has seen as JSON. Where the cluster is, the environment says.

import { AuroraDSQLPool } from "@aws/aurora-dsql-node-postgres-connector";
import { and, asc, avg, count, desc, eq, gt, relations, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { bigint, boolean, integer, jsonb, numeric, pgTable, text, timestamp, uuid, varchar } from "drizzle-orm/pg-core";

import { config, here } from "./endpoint.mjs";

const author = pgTable("author", {
  id: uuid("id").primaryKey().defaultRandom(),
  name: text("name").notNull().unique(),
  born: timestamp("born", { withTimezone: true }),
});
const book = pgTable("book", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  authorId: uuid("author_id")
    .notNull()
    .references(() => author.id, { onDelete: "cascade" }),
  title: varchar("title", { length: 200 }).notNull(),
  price: numeric("price", { precision: 8, scale: 2 }).notNull().default("10.00"),
  details: jsonb("details"),
  isLent: boolean("is_lent").notNull().default(false),
  shelf: integer("shelf"),
});
const authorRelations = relations(author, ({ many }) => ({ books: many(book) }));
const bookRelations = relations(book, ({ one }) => ({
  author: one(author, { fields: [book.authorId], references: [author.id] }),
}));

const pool = new AuroraDSQLPool({ ...config, max: 4 });
const db = drizzle(pool, { schema: { author, book, authorRelations, bookRelations } });
const seen = {};

// Twice: the second time there is nothing to do.
for (let time = 0; time < 2; time++) await migrate(db, { migrationsFolder: `${here}/migrations` });
seen.migrations = (await db.execute(sql`SELECT count(*)::int AS count FROM drizzle.__drizzle_migrations`)).rows[0].count;

const [ursula, stanislaw] = await db
  .insert(author)
  .values([{ name: "Ursula", born: new Date("1929-10-21T00:00:00Z") }, { name: "Stanisław" }])
  .returning();
await db.insert(book).values([
  { id: 1, authorId: ursula.id, title: "The Dispossessed", details: { tags: ["moon", "walls"] } },
  { id: 2, authorId: ursula.id, title: "The Lathe of Heaven", price: "12.50" },
  { id: 3, authorId: stanislaw.id, title: "Solaris", price: "9.99", shelf: 4 },
]);
await db
  .insert(book)
  .values({ id: 3, authorId: stanislaw.id, title: "Solaris", price: "10.50" })
  .onConflictDoUpdate({ target: book.id, set: { price: sql`excluded.price` } });

seen.byAuthor = await db
  .select({ name: author.name, books: count(book.id), price: avg(book.price) })
  .from(author)
  .leftJoin(book, eq(book.authorId, author.id))
  .groupBy(author.name)
  .orderBy(desc(count(book.id)), asc(author.name));
seen.nested = await db.query.author.findMany({
  columns: { name: true, born: true },
  with: { books: { columns: { title: true }, where: gt(book.price, "10.00"), orderBy: asc(book.title) } },
  orderBy: asc(author.name),
});
const byTitle = db.query.book
  .findFirst({ where: eq(book.title, sql.placeholder("title")), with: { author: true } })
  .prepare("book_by_title");
seen.prepared = [];
for (const title of ["Solaris", "The Dispossessed"]) {
  const found = await byTitle.execute({ title });
  seen.prepared.push([found.author.name, found.price, found.details?.tags ?? null]);
}

try {
  await db.transaction(async (tx) => {
    await tx.update(book).set({ isLent: true }).where(eq(book.id, 1));
    await tx.insert(book).values({ id: 4, authorId: ursula.id, title: "The Dispossessed" });
  });
} catch (error) {
  seen.refused = [(error.cause ?? error).code, (error.cause ?? error).constraint];
}
seen.lent = await db.$count(book, eq(book.isLent, true));

// Everybody changes the same row: whoever is not the first to commit tries again.
let conflicts = 0;
async function raise() {
  for (;;) {
    try {
      return await db.transaction(async (tx) => {
        const [{ shelf }] = await tx.select().from(book).where(eq(book.id, 3)).for("update");
        await tx.update(book).set({ shelf: shelf + 1 }).where(and(eq(book.id, 3), eq(book.shelf, shelf)));
      });
    } catch (error) {
      if ((error.cause ?? error).code !== "40001") throw error;
      conflicts++;
    }
  }
}
await Promise.all(Array.from({ length: 4 }, raise));
[{ shelf: seen.shelf }] = await db.select({ shelf: book.shelf }).from(book).where(eq(book.id, 3));

await db.delete(author).where(eq(author.name, "Ursula"));
seen.left = await db.$count(book);
await pool.end();
console.log(JSON.stringify(seen));
