import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** How a process ended. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** A process that ends when we do, however we end. */
export type ManagedProcess = {
  name: string;
  pid: number;
  /** Resolves when the process has ended, for whatever reason. */
  exited: Promise<Exit>;
  /** Whether it is still running. */
  isRunning(): boolean;
  /** Asks it to end, insists after `graceMs`, and resolves when it has. */
  stop(graceMs?: number): Promise<void>;
};

export type ProcessOptions = {
  name: string;
  command: string;
  args?: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** The signal that makes this program end in order. */
  stopSignal?: NodeJS.Signals;
  /** Called with every line the process writes. */
  onLine?: (line: string) => void;
};

/**
 * Starts a program in a process group of its own, so that Ctrl-C reaches us alone and we end the parts in order. Should
 * we be killed before we can, the watchdog ends it.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const { name, stopSignal = 'SIGTERM', onLine } = options;
  const child = spawn(options.command, options.args ?? [], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.env && { env: options.env }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.uid !== undefined && { uid: options.uid }),
    ...(options.gid !== undefined && { gid: options.gid }),
  });
  for (const stream of [child.stdout, child.stderr]) {
    onLines(stream, (line) => onLine?.(line));
  }
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new Error(`${name} could not be started: ${error.message}`)));
  });
  const pid = child.pid as number;
  watchdog().watch(pid, stopSignal);

  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      watchdog().forget(pid);
      resolve({ code, signal });
    });
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    name,
    pid,
    exited,
    isRunning,
    async stop(graceMs = 10_000) {
      if (!isRunning()) return;
      child.kill(stopSignal);
      const insist = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(insist);
    },
  };
}

/** Tells of every line of a stream. A fraction of what readline costs, and functions write a line a request. */
function onLines(stream: Readable, tell: (line: string) => void): void {
  let begun = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (begun + text).split(/\r?\n/);
    begun = lines.pop() ?? '';
    for (const line of lines) tell(line);
  });
  stream.on('end', () => {
    if (begun) tell(begun);
  });
}

type Watchdog = { watch(pid: number, signal: NodeJS.Signals): void; forget(pid: number): void };

let sharedWatchdog: Watchdog | undefined;

function watchdog(): Watchdog {
  sharedWatchdog ??= startWatchdog();
  return sharedWatchdog;
}

function startWatchdog(): Watchdog {
  const shell: ChildProcess = spawn('/bin/sh', [fileURLToPath(new URL('./watchdog.sh', import.meta.url))], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.unref();
  const input = shell.stdin as NonNullable<typeof shell.stdin> & { unref?: () => void };
  input.unref?.();
  input.on('error', () => undefined);
  const tell = (line: string) => void input.write(`${line}\n`);
  return {
    watch: (pid, signal) => tell(`watch ${pid} ${signal.replace(/^SIG/, '')}`),
    forget: (pid) => tell(`forget ${pid}`),
  };
}
