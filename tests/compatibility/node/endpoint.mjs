// Where the cluster is, by the environment that `borealis env` makes.

import dns from "node:dns";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const { AWS_REGION, PGHOST, PGHOSTADDR, PGPORT, PGSSLMODE, PGSSLROOTCERT } = process.env;

export const region = AWS_REGION;
export const host = PGHOST;
export const here = dirname(fileURLToPath(import.meta.url));
const ssl = PGSSLMODE === "disable" ? false : { ca: readFileSync(PGSSLROOTCERT), rejectUnauthorized: true };
export const config = { host, port: Number(PGPORT), user: "admin", database: "postgres", region, ssl };

// As a line in a hosts file would.
const lookup = dns.lookup;
dns.lookup = (name, options, callback) => lookup(name === host ? PGHOSTADDR : name, options, callback);
