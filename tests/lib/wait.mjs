/* Waiting for events, always with a deadline. */

export const DEADLINE_MS = 30000;

/*
 * Resolves with the first truthy value of `condition()`. It is asked at once and after every event;
 * `subscribe(check)` subscribes `check` to whatever may change it and returns how to unsubscribe.
 */
export const until = (subscribe, condition, what, deadlineMs = DEADLINE_MS) =>
  new Promise((resolve, reject) => {
    let unsubscribe = () => {};
    let timer;
    const settle = (done, value) => {
      clearTimeout(timer);
      unsubscribe();
      done(value);
    };
    const check = () => {
      try {
        const value = condition();
        if (value) settle(resolve, value);
      } catch (error) {
        settle(reject, error);
      }
    };
    timer = setTimeout(
      () => settle(reject, new Error(`not within ${deadlineMs} ms: ${what}`)),
      deadlineMs,
    );
    unsubscribe = subscribe(check);
    check();
  });

/* The first `event` of an EventEmitter for which `predicate` holds: its first argument. */
export const once = (emitter, event, predicate = () => true, what = event) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      emitter.off(event, listen);
      reject(new Error(`not within ${DEADLINE_MS} ms: ${what}`));
    }, DEADLINE_MS);
    const listen = (value) => {
      if (!predicate(value)) return;
      clearTimeout(timer);
      emitter.off(event, listen);
      resolve(value);
    };
    emitter.on(event, listen);
  });

/* For what sends no events: asks again, after a turn of the event loop, until the deadline. */
export const poll = async (ask, what, deadlineMs = DEADLINE_MS) => {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await turn();
  }
};

/* A turn of the event loop: what is in the sockets gets its chance. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));
