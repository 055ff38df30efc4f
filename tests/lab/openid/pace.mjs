// How fast a device may poll (RFC 8628, 3.5). The library leaves that out: it
// says neither `interval` nor `slow_down`.

// A timer may fire a little early, and a request may overtake its clock.
const slack = 100;

export class Pace {
  #interval;
  #step;
  #devices = new Map();

  constructor(interval, step) {
    this.#interval = interval;
    this.#step = step;
  }

  middleware = async (ctx, next) => {
    const now = Date.now();
    await next();
    const route = ctx.oidc?.route;
    if (route === 'device_authorization' && ctx.status === 200) {
      ctx.body = { ...ctx.body, interval: this.#interval };
    }
    if (route === 'token' && ctx.body?.error === 'authorization_pending') {
      if (this.#isTooFast(ctx.oidc.params.device_code, now)) {
        ctx.body = { error: 'slow_down', error_description: 'polled before the interval was over' };
      }
    }
  };

  // Each offence makes the interval longer, and it stays so for that device.
  #isTooFast(device, now) {
    const seen = this.#devices.get(device) ?? { interval: this.#interval, last: -Infinity };
    const tooFast = now - seen.last < seen.interval * 1000 - slack;
    this.#devices.set(device, { interval: seen.interval + (tooFast ? this.#step : 0), last: now });
    return tooFast;
  }
}
