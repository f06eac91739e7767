// Experiments waiting for processes. What is asked for first and has the lowest priority number starts
// first; after the deadline nothing starts, and what runs is ended.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The queue has no time left, or was told to stop. */
export class Stopped extends Error {
  name = 'Stopped';
}

export class Queue {
  waiting = [];
  workers = new Set();
  stopped = false;

  /**
   * `processes` with `lanes` experiments at once in each. `folder`: the corpus's. `seconds`: until the
   * deadline.
   */
  constructor({ processes = 1, lanes = 1, folder, backend, threads = 1, seconds = Infinity }) {
    this.options = { processes, lanes };
    this.work = JSON.stringify({ folder, backend, threads });
    this.counts = { asked: 0, done: 0 };
    this.timer = seconds === Infinity ? undefined : setTimeout(() => this.stop(), 1000 * seconds);
  }

  /** The result of an experiment, whenever a process is free for it. Rejects with Stopped when there is no time. */
  run(spec, priority = 0) {
    if (this.stopped) return Promise.reject(new Stopped('out of time'));
    this.counts.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.push({ spec, priority, order: this.counts.asked, resolve, reject });
      this.waiting.sort((a, b) => a.priority - b.priority || a.order - b.order);
      this.start();
    });
  }

  get progress() {
    return `${this.counts.done} of ${this.counts.asked} experiments`;
  }

  start() {
    while (this.waiting.length > this.idleLanes && this.workers.size < this.options.processes) this.open();
    for (const worker of this.workers) this.feed(worker);
  }

  get idleLanes() {
    return [...this.workers].reduce((sum, { jobs }) => sum + this.options.lanes - jobs.size, 0);
  }

  open() {
    const child = fork(fileURLToPath(new URL('worker.mjs', import.meta.url)), [this.work], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const worker = { child, jobs: new Map(), ready: false };
    this.workers.add(worker);
    child.on('message', (message) => this.hear(worker, message));
    child.on('error', (error) => this.lose(worker, error.message));
    child.on('exit', (code, signal) => this.lose(worker, `the process ended with ${signal ?? `code ${code}`}`));
  }

  hear(worker, { ready, failed, id, result, error }) {
    if (ready) worker.ready = true;
    else if (failed) worker.failed = failed;
    else {
      const job = worker.jobs.get(id);
      worker.jobs.delete(id);
      this.counts.done++;
      if (error === undefined) job.resolve(result);
      else job.reject(new Error(error));
    }
    this.start();
  }

  /** Its experiments fail; the others go on in the processes that are left, or in a new one. */
  lose(worker, reason) {
    if (!this.workers.delete(worker)) return;
    for (const { reject } of worker.jobs.values()) reject(this.stopped ? new Stopped('out of time') : new Error(reason));
    // One that dies before it is ready would die again.
    if (!worker.ready) this.stop(worker.failed ?? reason);
    else this.start();
  }

  feed(worker) {
    while (worker.ready && worker.jobs.size < this.options.lanes && this.waiting.length > 0) {
      const job = this.waiting.shift();
      worker.jobs.set(job.order, job);
      worker.child.send({ id: job.order, spec: job.spec });
    }
  }

  /** Ends everything: what waits or runs is rejected. */
  stop(reason) {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const { reject } of this.waiting.splice(0)) reject(reason ? new Error(reason) : new Stopped('out of time'));
    for (const { child } of this.workers) child.kill('SIGKILL');
  }

  /** Lets the processes go; nothing may be waiting. */
  close() {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const { child } of this.workers) if (child.connected) child.disconnect();
  }
}
