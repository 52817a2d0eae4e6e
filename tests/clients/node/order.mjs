// A client in another language, with nothing but the NATS library: places an order and watches it until it is confirmed.
//
//     node order.mjs <NATS URL> <principal> <password> <id of the order> <PlaceOrder as JSON, without its id>
//
// Each thing that it learns is a line of JSON.
import { Kvm } from '@nats-io/kv';
import { connect, headers } from '@nats-io/transport-node';

const [servers, user, pass, id, body] = process.argv.slice(2);
const nc = await connect({ servers, user, pass, inboxPrefix: `_INBOX.${user}` });
const say = (what) => console.log(JSON.stringify(what));
const headed = (lines) => {
  const made = headers();
  Object.entries({ 'Daybook-Version': '1', ...lines }).forEach(([name, value]) => made.set(name, value));
  return { headers: made, timeout: 30_000 };
};

// What we send is decided a moment later: the receipt is told to us alone.
const receipts = nc.subscribe(`receipt.${user}.order.${id}`, { max: 1 });

// The reply means: it is on the disk.
const stored = await nc.request(`command.${user}.order.${id}.PlaceOrder`, body, headed({ 'Daybook-Command-Id': id }));
say({ stored: stored.json() });
for await (const receipt of receipts) say({ receipt: receipt.json() });

// A query that must show what the command did; its status and how fresh it is are in headers.
const wish = headed({ 'Daybook-After': `order:${id}`, Prefer: 'wait=10' });
const answer = await nc.request(`query.${user}.GetOrder`, JSON.stringify({ order_id: id }), wish);
say({ status: answer.headers.get('Daybook-Status'), position: answer.headers.get('Daybook-Position'), order: answer.json() });

// The bucket of all orders' states: the value there is now, then each change.
const bucket = await new Kvm(nc).open('order-status');
for await (const entry of await bucket.watch({ key: id })) {
  say({ watched: entry.json() });
  if (['confirmed', 'cancelled'].includes(entry.json().state)) break;
}
say({ got: (await bucket.get(id)).json() });
await nc.close();
