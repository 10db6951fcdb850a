// Ping-pong between two async functions in JavaScript.
//
//     node ping_pong.mjs 1000000
//
// The event loop comes with the language. What is printed: a name, and the nanoseconds of one switch.

class Mailbox {
  // room for one message, and for one who waits for it
  put(value) {
    if (this.wake) {
      const wake = this.wake;
      this.wake = null;
      wake(value);
    } else {
      this.message = value;
    }
  }

  get() {
    return new Promise((wake) => {
      if (this.message === undefined) {
        this.wake = wake;
      } else {
        wake(this.message);
        this.message = undefined;
      }
    });
  }
}

async function ping(n, out, back) {
  let total = 0;
  for (let i = 0; i < n; i++) {
    out.put(i);
    total += await back.get();
  }
  return total;
}

async function pong(n, inbox, back) {
  for (let i = 0; i < n; i++) back.put(await inbox.get());
}

async function nanosecondsPerSwitch(n) {
  const there = new Mailbox(), back = new Mailbox();
  const start = process.hrtime.bigint();
  const [total] = await Promise.all([ping(n, there, back), pong(n, there, back)]);
  const took = Number(process.hrtime.bigint() - start);
  if (total !== (n * (n - 1)) / 2) throw new Error("a message was lost");
  return took / (2 * n);
}

const n = Number(process.argv[2] ?? 1000000);
let best = Infinity;
for (let i = 0; i < 5; i++) best = Math.min(best, await nanosecondsPerSwitch(n));
console.log(`async-functions ${best.toFixed(1)}`);
