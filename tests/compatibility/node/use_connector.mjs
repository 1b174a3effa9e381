// Works with a cluster through the Aurora DSQL connector for node-postgres, and with a token of its own making through
// plain node-postgres; prints what it has seen as JSON. Where the cluster is, the environment says.

import { DsqlSigner } from "@aws-sdk/dsql-signer";
import { AuroraDSQLClient, AuroraDSQLPool } from "@aws/aurora-dsql-node-postgres-connector";
import pg from "pg";

import { config, host, region } from "./endpoint.mjs";

async function usePool() {
  const pool = new AuroraDSQLPool({ ...config, max: 4 });
  try {
    await pool.query("CREATE TABLE account (id bigint PRIMARY KEY, balance numeric NOT NULL, note text)");
    const job = await pool.query("CREATE INDEX ASYNC account_note ON account (note)");
    const waited = await pool.query("CALL sys.wait_for_job($1)", [job.rows[0].job_id]);
    await Promise.all(
      Array.from({ length: 20 }, (_, id) => pool.query("INSERT INTO account VALUES ($1, $2, $3)", [id, 100, `n${id}`])),
    );
    // Everybody changes the same row: the connector repeats what conflicts.
    await Promise.all(
      Array.from({ length: 4 }, () =>
        pool.transaction(
          async (client) => {
            const { rows } = await client.query("SELECT balance FROM account WHERE id = 0 FOR UPDATE");
            await client.query("UPDATE account SET balance = $1 WHERE id = 0", [Number(rows[0].balance) + 1]);
          },
          { maxRetries: 100 },
        ),
      ),
    );
    const { rows } = await pool.query("SELECT count(*)::int AS count, sum(balance)::int AS sum FROM account");
    return { waited: Object.values(waited.rows[0])[0], ...rows[0] };
  } finally {
    await pool.end();
  }
}

async function useClient() {
  const client = new AuroraDSQLClient(config);
  await client.connect();
  try {
    const named = { name: "one-account", text: "SELECT note FROM account WHERE id = $1" };
    const notes = [];
    for (const id of [3, 4]) notes.push((await client.query({ ...named, values: [id] })).rows[0].note);
    const application = await client.query("SHOW application_name");
    return { notes, application: application.rows[0].application_name };
  } finally {
    await client.end();
  }
}

async function useOwnToken() {
  const password = await new DsqlSigner({ hostname: host, region }).getDbConnectAdminAuthToken();
  const client = new pg.Client({ ...config, password });
  await client.connect();
  try {
    return (await client.query("SELECT current_user AS user")).rows[0].user;
  } finally {
    await client.end();
  }
}

console.log(JSON.stringify({ pool: await usePool(), client: await useClient(), user: await useOwnToken() }));
