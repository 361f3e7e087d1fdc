import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process as the operating system lists it. */
export type ProcessEntry = { pid: number; parent: number; command: string; residentBytes: number };

/** All processes: from /proc where there is one (slim containers have no `ps`), else from `ps`. */
export function listProcesses(): ProcessEntry[] {
  if (existsSync('/proc/self/stat')) {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => readProc(Number(name)) ?? []);
  }
  const { stdout } = spawnSync('ps', ['-A', '-ww', '-o', 'pid=,ppid=,rss=,command='], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').flatMap((line) => {
    const [, pid, parent, kilobytes, command] = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return pid
      ? [{ pid: Number(pid), parent: Number(parent), command: command ?? '', residentBytes: Number(kilobytes) * 1024 }]
      : [];
  });
}

/** The command line of a process; empty when there is none of that id. */
export function commandOf(pid: number): string {
  if (existsSync('/proc/self/stat')) return readProc(pid)?.command ?? '';
  return spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? '';
}

/**
 * When a process was born, in the words of the operating system: two processes that had the same id differ in it. Empty when
 * there is none of that id.
 */
export function birthOf(pid: number): string {
  if (!existsSync('/proc/self/stat')) {
    return (spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } }).stdout ?? '').trim();
  }
  const fields = statOf(pid);
  return fields === undefined || fields[0] === 'Z' ? '' : (fields[19] ?? '');
}

/** The processes whose working folder is this one, where the system tells (Linux). */
export function processesWorkingIn(folder: string): number[] {
  if (!existsSync('/proc/self/stat')) return [];
  return listProcesses().map(({ pid }) => pid).filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === folder;
    } catch {
      return false;
    }
  });
}

/** The processes above this one, nearest first. */
export function ancestors(): ProcessEntry[] {
  const processes = new Map(listProcesses().map((entry) => [entry.pid, entry]));
  const found: ProcessEntry[] = [];
  for (
    let entry = processes.get(process.ppid);
    entry && entry.pid > 1 && found.length < 20;
    entry = processes.get(entry.parent)
  ) found.push(entry);
  return found;
}

/** Memory of processes and all below them in bytes; where the system tells (Linux), shared pages are counted once. */
export function memoryOf(pids: number[]): number {
  const processes = listProcesses();
  const family = new Set(pids);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const { pid, parent } of processes) if (family.has(parent)) family.add(pid);
  }
  return processes
    .filter(({ pid }) => family.has(pid))
    .reduce((sum, { pid, residentBytes }) => sum + (proportionalBytes(pid) ?? residentBytes), 0);
}

function readProc(pid: number): ProcessEntry | undefined {
  try {
    const [state, parent] = statOf(pid) ?? ['Z'];
    if (state === 'Z') return undefined;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    const residentPages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    return { pid, parent: Number(parent), command, residentBytes: residentPages * 4096 };
  } catch {
    return undefined;
  }
}

/** What /proc tells of a process behind its name: the state, the parent, … the ticks from the start of the system to its birth. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function proportionalBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
