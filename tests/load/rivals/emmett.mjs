// The npm library Emmett, used as its manual shows: an order is the first event of a stream of its own in Postgres.
//
//     node emmett.mjs <file of bodies, one a line>
//
// with a PostgreSQL in the PG* variables. It says `ready`, and for each line `<appends at the same time> <seconds>` of
// its input appends orders and says what came of it as one line of JSON.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const MOST = 16;
const { PGUSER, PGPASSWORD, PGHOST, PGPORT, PGDATABASE } = process.env;
const address = `postgresql://${PGUSER}:${encodeURIComponent(PGPASSWORD)}@${PGHOST}:${PGPORT}/${PGDATABASE}`;
const pool = new pg.Pool({ connectionString: address, max: MOST });
const store = getPostgreSQLEventStore(address, { connectionOptions: { pool } });
const orders = readFileSync(process.argv[2], 'utf8').split('\n').map((line) => JSON.parse(line));
let next = 0;

async function place() {
  const data = orders[next++ % orders.length];
  await store.appendToStream(`order-${randomUUID()}`, [{ type: 'OrderPlaced', data }]);
}

async function placing(until, latencies) {
  for (let begun = performance.now(); begun < until; begun = performance.now()) {
    await place();
    latencies.push((performance.now() - begun) / 1000);
  }
}

async function run(appends, seconds) {
  const begun = performance.now(), latencies = [];
  await Promise.all(Array.from({ length: appends }, () => placing(begun + seconds * 1000, latencies)));
  latencies.sort((one, other) => one - other);
  return { seconds: (performance.now() - begun) / 1000, statuses: { 201: latencies.length }, latencies };
}

await store.schema.migrate();
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [appends, seconds] = line.split(' ').map(Number);
  console.log(JSON.stringify(await run(appends, seconds)));
}
await store.close();
await pool.end();
