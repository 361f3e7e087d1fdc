import { open, readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Listr, PRESET_TIMER, type ListrTaskWrapper, type DefaultRenderer, type SimpleRenderer } from 'listr2';
import pc from 'picocolors';
import { z } from 'zod';
import { connect, ConnectionProblem, type Community, type RosterApi } from './import/connection.ts';
import { describeReport } from './import/print.ts';
import { bar, pulse } from './import/progress.ts';
import type { ImportReport } from './import/report.ts';
import { readRoster, type Roster } from './import/roster-file.ts';
import { UnreadableRoster } from './import/table.ts';

/** What the process answers with: 0 done, 1 the file is refused, 2 it never came to that. */
const exitCodes = { done: 0, refused: 1, failed: 2 } as const;

const rowNumber = (text: string): number => {
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw new InvalidArgumentError('A row is a number from 1.');
  return Number(text);
};
const oneCharacter = (text: string): string => {
  const character = text === 'tab' || text === '\\t' ? '\t' : text;
  if (character.length !== 1) throw new InvalidArgumentError('A delimiter is one character, or tab.');
  return character;
};

/** A list that can be brought in: what it is, and how the database is asked to take it. */
type Import = { what: string; check(api: RosterApi, community: Community, list: Roster, how: { mapping?: Mapping; dryRun: boolean }): Promise<ImportReport> };
type Mapping = Record<string, string | null>;

const program = new Command('import')
  .description('Brings lists of a community in, from a CSV or Excel file: its roster, or the balances its books begin with. All of it, or nothing.')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.done : exitCodes.failed));

const withOptions = (command: Command): Command =>
  command
    .argument('<file>', 'a CSV file in UTF-8, or an .xlsx file')
    .requiredOption('--community <slug>', 'the community that the list is of')
    .option('--dry-run', 'only shows what would change')
    .option('--yes', 'stores without asking')
    .option('--mapping <file>', 'a JSON file that says what headers mean: {"Header": "field", "Other": null}')
    .option('--sheet <name>', 'the sheet of the workbook; the first by default')
    .option('--header-row <number>', 'the row that holds the headers; found by default', rowNumber)
    .option('--delimiter <character>', 'what stands between the cells of a CSV file; found by default', oneCharacter)
    .option('--all', 'prints every change, not only the first ones')
    .option('--report <file>', 'writes the whole report to a JSON file')
    .option('--url <url>', 'a Supabase project; the installation on this machine by default')
    .addOption(new Option('--key <key>', 'its secret key, or its publishable key with --email').env('VICINIA_KEY'))
    .option('--email <address>', 'imports as this user')
    .addOption(new Option('--password <password>', 'of this user').env('VICINIA_PASSWORD'));

const imports = new Map<Command, Import>([
  [
    withOptions(program.command('roster', { isDefault: true }).description('units and people (the default)'))
      .addOption(new Option('--date-order <order>', 'what 03/04/2019 means; by the country of the community by default').choices(['dmy', 'mdy'])),
    {
      what: 'roster',
      check: (api, community, list, how) => api.importRoster(community, list, { ...how, ...(options.dateOrder !== undefined && { dateOrder: options.dateOrder }) }),
    },
  ],
  [
    withOptions(program.command('balances').description('what units owed, by person and fund, and what stood on other accounts when the books began'))
      .option('--opened-on <day>', 'the first day of the books, to be sure that both mean the same: 2026-01-01'),
    {
      what: 'list of balances',
      check: (api, community, list, how) => api.importBalances(community, list, { ...how, ...(options.openedOn !== undefined && { openedOn: options.openedOn }) }),
    },
  ],
]);

type Options = {
  community: string;
  dryRun?: boolean;
  yes?: boolean;
  mapping?: string;
  sheet?: string;
  headerRow?: number;
  delimiter?: string;
  dateOrder?: string;
  openedOn?: string;
  all?: boolean;
  report?: string;
  url?: string;
  key?: string;
  email?: string;
  password?: string;
};

type Progress = { roster?: Roster; api?: RosterApi; community?: Community; report?: ImportReport };
type Task = ListrTaskWrapper<Progress, typeof DefaultRenderer, typeof SimpleRenderer>;

let isToldByTasks = false;

let path = '';
let options: Options = { community: '' };
for (const [command, asked] of imports) {
  command.action(async (file: string, given: Options) => {
    path = file;
    options = given;
    process.exitCode = await run(asked);
  });
}

try {
  await program.parseAsync();
} catch (error) {
  const isKnown = error instanceof UnreadableRoster || error instanceof ConnectionProblem;
  if (!isKnown) console.error(error);
  else if (!isToldByTasks) console.error(pc.red(error.message));
  process.exitCode = error instanceof UnreadableRoster ? exitCodes.refused : exitCodes.failed;
}

async function run(asked: Import): Promise<number> {
  const mapping = options.mapping === undefined ? undefined : await readMapping(options.mapping);
  if (options.report !== undefined) await checkWritable(options.report);
  const how = mapping ? { mapping } : {};
  const progress: Progress = {};
  await perform(progress, [reading(), checking(asked, how)]);
  const checked = progress.report as ImportReport;
  const isRefused = checked.status === 'refused';
  if (options.dryRun || isRefused) return conclude(asked, checked);

  if (checked.changes.length > 0 && !options.yes && process.stdin.isTTY) {
    console.log(`\n${describeReport(checked, { all: options.all ?? false })}\n`);
    if (!(await confirm(`Store this in ${progress.community?.name}?`))) {
      console.log('Nothing was stored.');
      return exitCodes.done;
    }
  }
  await perform(progress, [writing(asked, how)]);
  return conclude(asked, progress.report as ImportReport);
}

async function perform(progress: Progress, tasks: ConstructorParameters<typeof Listr<Progress, 'default', 'simple'>>[0]): Promise<void> {
  await new Listr<Progress, 'default', 'simple'>(tasks, {
    ctx: progress,
    fallbackRenderer: 'simple',
    rendererOptions: { timer: PRESET_TIMER },
    fallbackRendererOptions: { timer: PRESET_TIMER },
  })
    .run()
    .catch((error: unknown) => {
      isToldByTasks = true;
      throw error;
    });
}

function reading() {
  return {
    title: `Reading ${basename(path)}`,
    task: async (progress: Progress, task: Task) => {
      const { sheet, delimiter, headerRow } = options;
      progress.roster = await readRoster(path, {
        ...(sheet !== undefined && { sheet }),
        ...(delimiter !== undefined && { delimiter }),
        ...(headerRow !== undefined && { headerRow }),
        onProgress: (share) => show(task, bar(share)),
      });
      task.title = `Read ${rowsOf(progress.roster)} of ${basename(path)} ${pc.dim(progress.roster.format)}`;
    },
  };
}

function checking(asked: Import, how: { mapping?: Mapping }) {
  return {
    title: 'Checking',
    task: async (progress: Progress, task: Task) => {
      const { url, key, email, password } = options;
      progress.api = await connect({
        ...(url !== undefined && { url }),
        ...(key !== undefined && { key }),
        ...(email !== undefined && { email }),
        ...(password !== undefined && { password }),
      });
      progress.community = await progress.api.community(options.community);
      task.title = `Checking ${rowsOf(progress.roster as Roster)} against ${progress.community.name}`;
      progress.report = await whileWaiting(task, asked.check(progress.api, progress.community, progress.roster as Roster, { ...how, dryRun: true }));
      const { refused, changes } = progress.report;
      task.title = `Checked against ${progress.community.name} ${pc.dim(refused > 0 ? `${refused} refusals` : `${changes.length} changes`)}`;
    },
  };
}

function writing(asked: Import, how: { mapping?: Mapping }) {
  return {
    title: 'Storing',
    task: async (progress: Progress, task: Task) => {
      const { api, community, roster } = progress as Required<Progress>;
      progress.report = await whileWaiting(task, asked.check(api, community, roster, { ...how, dryRun: false }));
      task.title = progress.report.status === 'refused' ? 'Refused' : `Stored in ${community.name}`;
    },
  };
}

/** The database does its part in one piece: the bar shows that it is at work, not how far it is. */
async function whileWaiting<T>(task: Task, work: Promise<T>): Promise<T> {
  let step = 0;
  const timer = setInterval(() => show(task, pulse((step += 1))), 120);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    show(task, '');
  }
}

/** What moves is for people: a log keeps what was done. */
function show(task: Task, output: string): void {
  if (process.stdout.isTTY) task.output = output;
}

function rowsOf({ rows }: Roster): string {
  return `${rows.length.toLocaleString('en')} ${rows.length === 1 ? 'row' : 'rows'}`;
}

async function conclude({ what }: Import, report: ImportReport): Promise<number> {
  if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`\n${describeReport(report, { all: options.all ?? false })}\n`);
  if (report.status === 'refused') {
    console.log(pc.red(`The ${what} is refused: nothing was stored.`));
    return exitCodes.refused;
  }
  console.log(report.status === 'checked' ? `Nothing was stored: this was a dry run.` : pc.green('Done.'));
  return exitCodes.done;
}

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`${question} [y/N] `);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

/** Before anything is stored: a report that cannot be written is no reason to stop after it. */
async function checkWritable(file: string): Promise<void> {
  try {
    await (await open(file, 'a')).close();
  } catch (error) {
    throw new ConnectionProblem(`The report cannot be written: ${(error as Error).message}.`);
  }
}

async function readMapping(file: string): Promise<Mapping> {
  try {
    return z.record(z.string(), z.string().nullable()).parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    throw new ConnectionProblem(`${file} is no mapping: it should hold an object such as {"Flat no.": "unit_number", "Car": null}.`);
  }
}
