import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, readdirSync, readFileSync, rmSync, writeFileSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { Listr } from 'listr2';
import pc from 'picocolors';
import { demoPassword, demoUsers } from './stack/demo-users.ts';
import { onParentGone, takeInstallation } from './stack/installation.ts';
import { loadOrCreateKeys, type StackKeys } from './stack/keys.ts';
import { migrate, seed } from './stack/migrations.ts';
import { type Home, home, ports, projectRoot } from './stack/paths.ts';
import { obstacleToPort } from './stack/ports.ts';
import { type PostgresServer, startPostgres, stopLeftoverPostgres } from './stack/postgres.ts';
import { findPostgrest } from './stack/postgrest.ts';
import { memoryOf } from './stack/process-table.ts';
import type { Stack } from './stack/stack.ts';
import { shapeCluster, shapeDatabase } from './stack/supabase-shape.ts';

const options = new Command('start')
  .description('Runs Vicinia on this machine: PostgreSQL, PostgREST, Auth, Storage, the functions and the jobs.')
  .option('--verbose', 'shows what the parts log, and events as they happen')
  .option('--exit', 'stops again once everything runs, to see that it does')
  .parse()
  .opts<{ verbose?: boolean; exit?: boolean }>();

type Progress = { keys?: StackKeys; postgres?: PostgresServer; stack?: Stack };

const folder = home();
const running: Progress = {};
const logFiles = new Map<string, WriteStream>();
let giveBack = () => {};
let stopping: Promise<void> | undefined;
let isToldByTasks = false;

process.once('SIGINT', () => void shutDown(0));
process.once('SIGTERM', () => void shutDown(0));
process.once('SIGHUP', () => void shutDown(0));
// Nobody reads what we say any more: its reader went, as of `npm start | head`.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => void shutDown(1));
process.on('uncaughtException', (error) => void shutDown(1, `Vicinia failed: ${error.stack ?? error.message}`));
process.on(
  'unhandledRejection',
  (error) => void shutDown(1, `Vicinia failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
);
onParentGone(() => void shutDown(1));

try {
  giveBack = takeInstallation(folder, { url: `http://127.0.0.1:${ports.api}`, databasePort: ports.database });
  await bringUp();
  if (!stopping) {
    const stack = running.stack as Stack;
    stack.onFailure((reason) => void shutDown(1, reason));
    await announce(stack, running.postgres as PostgresServer);
    if (options.exit) await shutDown(0);
  }
} catch (error) {
  if (!stopping && running.postgres) await whetherPostgresEnded(running.postgres);
  if (!stopping) await shutDown(1, isToldByTasks ? undefined : (error as Error).message);
}

/** Starts every part, and says what is happening. */
async function bringUp(): Promise<void> {
  // Auth, Storage and what they are made of take half a second to load: meanwhile PostgreSQL comes up.
  const parts = import('./stack/stack.ts');
  parts.catch(() => undefined);
  const settings = { ctx: running, rendererOptions: { showErrorMessage: false }, registerSignalListeners: false };
  const database = new Listr<Progress>(
    [
      {
        title: 'Data folder',
        task: async (progress, task) => {
          await checkSurroundings(folder);
          if (!folder.exists()) writeFileSync(folder.unseeded, '');
          progress.keys = loadOrCreateKeys(folder);
          task.title = `Data folder ${pc.dim(folder.root)}`;
        },
      },
      {
        title: 'PostgreSQL 17',
        task: async (progress) => {
          const { passwords } = progress.keys as StackKeys;
          progress.postgres = await startPostgres({
            dataDir: folder.postgres,
            port: ports.database,
            passwords,
            settings: { synchronous_commit: 'off', max_connections: 60 },
            onLog: logTo('postgres'),
          });
          whenPostgresEnds(progress.postgres);
          await shapeOnce(progress.postgres);
        },
      },
      {
        title: 'Migrations',
        task: async (progress, task) => {
          const url = (progress.postgres as PostgresServer).url();
          const { applied, already } = await migrate(url, { onMigration: (file) => void (task.output = file) });
          task.title = applied.length > 0
            ? `Migrations ${pc.dim(`${applied.length} applied`)}`
            : `Migrations ${pc.dim(`up to date, ${already}`)}`;
        },
      },
    ],
    settings,
  );
  const onTop = new Listr<Progress>(
    [
      {
        title: 'Demo data',
        enabled: () => existsSync(folder.unseeded),
        task: async (progress) => {
          await seed((progress.postgres as PostgresServer).url());
          rmSync(folder.unseeded);
        },
      },
      {
        title: 'PostgREST, Auth, Storage, functions, jobs',
        task: async (progress) => {
          const { startStack } = await parts;
          progress.stack = await startStack({
            postgres: progress.postgres as PostgresServer,
            database: 'postgres',
            port: ports.api,
            keys: progress.keys as StackKeys,
            storageDir: folder.storage,
            mailDir: folder.mails,
            functions: true,
            jobs: true,
            onLog: (part, line) => logTo(part)(line),
            onMail: (mail) =>
              console.log(
                `${pc.cyan('✉')} ${mail.subject} ${pc.dim('to')} ${mail.to}${mail.link ? ` ${pc.underline(mail.link)}` : ''}`,
              ),
            ...(options.verbose && { onEvent: (payload: string) => console.log(`${pc.magenta('◆')} ${payload}`) }),
          });
        },
      },
    ],
    { ...settings, concurrent: true },
  );
  try {
    await database.run();
    await onTop.run();
  } catch (error) {
    // Without a terminal, the list of tasks is a log, and ends with the reason.
    isToldByTasks = !process.stdout.isTTY;
    throw error;
  }
}

/** Ends everything when PostgreSQL ends by itself, also before the stack that watches it is there. */
function whenPostgresEnds({ exited }: PostgresServer): void {
  void exited.then(({ code, signal }) =>
    shutDown(
      1,
      `PostgreSQL ended unexpectedly (${signal ? `signal ${signal}` : `exit code ${code}`}): ${join(folder.logs, 'postgres.log')} has its last words.`,
    )
  );
}

/** A lost connection is told before the end of the server that it was to, which is the reason: waits for that, a moment. */
async function whetherPostgresEnded({ exited }: PostgresServer): Promise<void> {
  await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 500))]);
}

/** Says in one sentence what would keep us from starting, before anything is started. */
async function checkSurroundings({ root, postgres }: Home): Promise<void> {
  findPostgrest();
  if (await stopLeftoverPostgres(postgres)) {
    console.log(pc.dim(`  Stopped a PostgreSQL that an earlier run had left in ${root}.`));
  }
  if (ports.api === ports.database) {
    throw new Error(`VICINIA_PORT and VICINIA_DB_PORT are both ${ports.api}: choose two ports.`);
  }
  for (const [port, variable] of [[ports.api, 'VICINIA_PORT'], [ports.database, 'VICINIA_DB_PORT']] as const) {
    const obstacle = await obstacleToPort(port);
    if (obstacle === 'EACCES') throw new Error(`Port ${port} is not for ordinary users: choose one from 1024 with ${variable}.`);
    if (obstacle) throw new Error(`Port ${port} is already taken by another program: free it, or choose another with ${variable}.`);
  }
}

/** Shapes the database like Supabase's on first start, and again when the shape has changed since. */
async function shapeOnce(postgres: PostgresServer): Promise<void> {
  const sources = join(projectRoot, 'scripts/stack/sql');
  const digest = createHash('sha256');
  for (const file of readdirSync(sources).sort()) digest.update(readFileSync(join(sources, file)));
  const shape = digest.digest('hex');
  if (existsSync(folder.shape) && readFileSync(folder.shape, 'utf8') === shape) return;
  await shapeCluster(postgres);
  await shapeDatabase(postgres);
  writeFileSync(folder.shape, shape);
}

/** Says where everything is. */
async function announce(stack: Stack, postgres: PostgresServer): Promise<void> {
  const users = await demoUsers(postgres.url());
  // performance.now() counts from the start of this process.
  const seconds = (performance.now() / 1000).toFixed(1);
  const megabytes = Math.round(memoryOf([process.pid, postgres.pid, ...stack.pids()]) / 1e6);
  const line = (label: string, value: string) => `  ${label.padEnd(17)}${value}`;
  const lines = [
    '',
    `  ${pc.bold(pc.green('Vicinia is running'))} ${pc.dim(`after ${seconds} s, in ${megabytes} MB`)}`,
    '',
    line('API', pc.cyan(stack.url)),
    line('Database', pc.cyan(postgres.url())),
    line('Mails', pc.cyan(`${stack.url}/mail`)),
    line('Publishable key', stack.keys.publishable),
    line('Secret key', stack.keys.secret),
    line('', pc.dim(`older keys (JWTs) are in ${folder.keys}`)),
  ];
  if (users.length > 0) {
    const width = Math.max(...users.map(({ email }) => email.length));
    lines.push(
      '',
      `  Demo users ${pc.dim(`(password ${demoPassword})`)}`,
      ...users.map(({ email, roles }) => `  ${email.padEnd(width + 2)}${pc.dim(roles)}`),
    );
  }
  console.log([...lines, '', `  ${pc.dim('Ctrl-C stops everything.')}`, ''].join('\n'));
}

/** Where a part's log lines go: a file each, begun anew at every start, and the terminal with --verbose. */
function logTo(part: string): (line: string) => void {
  const file = logFiles.get(part) ?? createWriteStream(join(folder.logs, `${part}.log`));
  logFiles.set(part, file);
  return (line) => {
    file.write(`${line}\n`);
    if (options.verbose) console.log(`${pc.dim(part.padEnd(9))} ${line}`);
  };
}

/** Ends all parts in order, once, and then this process. */
function shutDown(code: number, reason?: string): Promise<void> {
  stopping ??= (async () => {
    if (reason) console.error(`\n${pc.red(reason)}`);
    else if (running.postgres) console.log(pc.dim('\n  Stopping …'));
    const insist = () => process.exit(code || 1);
    process.once('SIGINT', insist);
    const patience = setTimeout(insist, 20_000);
    patience.unref();
    try {
      await running.stack?.stop();
      await running.postgres?.stop();
    } catch (error) {
      console.error(pc.red((error as Error).message));
    } finally {
      giveBack();
    }
    process.exit(code);
  })();
  return stopping;
}
