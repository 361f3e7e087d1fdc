import { stripVTControlCharacters } from 'node:util';
import pc from 'picocolors';
import type { BalancesReport, ImportReport, RosterChange, RosterProblem, RosterReport } from './report.ts';
import { printable } from './table.ts';

/** How many lines of changes are printed unless all are asked for. */
const usualLines = 40;

/** What an import answered, for a terminal. */
export function describeReport(answer: ImportReport, { all = false }: { all?: boolean } = {}): string {
  const report = JSON.parse(JSON.stringify(answer), (_key, value: unknown) => (typeof value === 'string' ? printable(value) : value)) as ImportReport;
  const isRefused = report.status === 'refused';
  return [
    report.dry_run ? describeColumns(report) : '',
    isRefused ? '' : describeChanges(report, all),
    isRefused ? '' : describeTotals(report),
    'funds' in report ? describeFunds(report) : describeIdealParts(report),
    describeAbsent(report),
    describeProblems('warning', report.warned, report.warnings, pc.yellow),
    describeProblems('refusal', report.refused, report.refusals, pc.red),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function describeColumns({ columns }: ImportReport): string {
  const rows = columns.map(({ header, field }) => [header, field ?? pc.dim('left out')]);
  return table(['Column', 'is read as'], rows);
}

function describeChanges({ changes, dry_run: dryRun }: ImportReport, all: boolean): string {
  if (changes.length === 0) return dryRun ? 'Nothing would change.' : 'Nothing changed.';
  const shown = all ? changes : changes.slice(0, usualLines);
  const lines = [table(['Row', 'What', 'Name', dryRun ? 'would become' : 'became'], shown.map(changeRow), [true])];
  if (shown.length < changes.length) lines.push(pc.dim(`… and ${(changes.length - shown.length).toLocaleString('en')} more: --all prints them.`));
  return lines.join('\n');
}

function changeRow({ row, entity, name, action, column, before, after }: RosterChange): string[] {
  const becomes = action === 'create' ? [pc.green('new'), after].filter((part) => part !== null).join(' ') : `${column}: ${pc.dim(before ?? 'nothing')} → ${after ?? 'nothing'}`;
  return [String(row), entity, name, becomes];
}

function describeTotals({ totals, dry_run: dryRun }: ImportReport): string {
  const rows = Object.entries(totals)
    .filter(([, { create, update, unchanged }]) => create + update + unchanged > 0)
    .map(([what, { create, update, unchanged }]) => [what, String(create), String(update), String(unchanged)]);
  return table(['', dryRun ? 'would be new' : 'new', dryRun ? 'would change' : 'changed', 'as before'], rows, [false, true, true, true]);
}

function describeIdealParts({ ideal_parts: { declared, stored_after: stored, difference } }: RosterReport): string {
  if (stored === 0) return '';
  return difference === 0 ? `Ideal parts: ${stored}, as declared.` : pc.yellow(`Ideal parts: ${stored} of ${declared} declared, ${Math.abs(difference)} ${difference < 0 ? 'missing' : 'too many'}.`);
}

/** What the funds would begin with; a fund whose sides differ keeps the difference on its account for opening balances. */
function describeFunds({ funds, currency, opened_on: openedOn }: BalancesReport): string {
  if (funds.length === 0) return '';
  const money = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' });
  const rows = funds.map(({ fund, debit, credit, difference }) => {
    const cells = [fund, ...[debit, credit, difference].map((amount) => money.format(amount))];
    return difference === 0 ? cells : cells.map((cell) => pc.yellow(cell));
  });
  return table([`On ${openedOn}`, 'debit', 'credit', 'difference'], rows, [false, true, true, true]);
}

function describeAbsent({ not_in_file: absent }: ImportReport): string {
  const count = 'balances' in absent ? absent.balances : absent.units + absent.occupancies;
  if (count === 0) return '';
  const names = absent.first.slice(0, 10).map(({ name }) => name);
  const more = count - names.length;
  return pc.dim(`Not in the file, and left as they are: ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`);
}

function describeProblems(what: string, count: number, problems: RosterProblem[], colour: (text: string) => string): string {
  if (count === 0) return '';
  const rows = problems.map(({ row, column, value, reason, message }) => [
    row === null ? '' : String(row),
    column ?? '',
    value === null ? '' : shorten(value, 30),
    `${message} ${pc.dim(reason)}`,
  ]);
  const lines = [colour(`${count} ${what}${count === 1 ? '' : 's'}`), table(['Row', 'Column', 'Value', ''], rows, [true])];
  if (problems.length < count) lines.push(pc.dim(`… and ${count - problems.length} more.`));
  return lines.join('\n');
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** A table with columns as wide as what stands in them; `right` names those that are aligned to the right. */
export function table(headers: string[], rows: string[][], right: boolean[] = []): string {
  const widths = headers.map((header, column) => Math.max(width(header), ...rows.map((row) => width(row[column] ?? ''))));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => {
        const blanks = ' '.repeat((widths[column] ?? 0) - width(cell));
        return right[column] ? blanks + cell : cell + blanks;
      })
      .join('  ')
      .trimEnd();
  return [pc.dim(line(headers)), ...rows.map(line)].join('\n');
}

const wide = /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Emoji_Presentation}/u;
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** How many cells of a terminal a text takes: one per letter with its marks, two for Chinese, Japanese and Korean. */
function width(text: string): number {
  let cells = 0;
  for (const { segment } of graphemes.segment(stripVTControlCharacters(text))) cells += wide.test(segment) ? 2 : 1;
  return cells;
}
