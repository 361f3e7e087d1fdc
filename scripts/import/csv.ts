import { CsvError, parse, type Options } from 'csv-parse';
import { parse as parseSync } from 'csv-parse/sync';
import { UnreadableRoster, type ReadOptions, type Table } from './table.ts';

/** What may stand between the cells of a CSV file, and what people call it. */
const delimiters = new Map([
  [',', 'commas'],
  [';', 'semicolons'],
  ['\t', 'tabs'],
  ['|', 'bars'],
]);

// Rosters are typed by people: a row may be short, a quotation mark may belong to a company's name, and lines of two files put together
// may end in two ways.
const lenient: Options = { relax_column_count: true, relax_quotes: true, skip_empty_lines: false, record_delimiter: ['\r\n', '\n', '\r'] };

/**
 * Reads a CSV file in UTF-8 (or UTF-16 with its mark, as Excel's "Unicode text"). Every line counts as a row, blank ones too, so that
 * numbers in reports are those a spreadsheet shows.
 *
 * @throws {UnreadableRoster} when the file is no text in UTF-8 or its quotation marks do not match
 */
export async function readCsv(content: Buffer, name: string, { delimiter, onProgress }: ReadOptions): Promise<Table> {
  const text = decode(content, name);
  if (text.includes('\0')) {
    throw new UnreadableRoster(`${name} is no text in UTF-8, since it has bytes that are zero: save it again as "CSV UTF-8", or as .xlsx.`);
  }
  // Excel's own way to name the delimiter; it does not show the line, so neither do we count it.
  const [declaration, declared] = /^sep=(.)(?:\r\n|\n|\r)/.exec(text) ?? [''];
  const body = text.slice(declaration.length);
  const mark = delimiter ?? declared ?? detectDelimiter(body);
  const cells: string[][] = [];
  const parser = parse({ ...lenient, delimiter: mark });
  parser.on('data', (record: string[]) => cells.push(record));
  const finished = new Promise<void>((resolve, reject) => parser.once('end', resolve).once('error', reject));
  finished.catch(() => undefined);
  // In bytes: a piece of text could end within a character, half of which is none.
  const bytes = Buffer.from(body);
  const chunk = 64 * 1024;
  try {
    for (let at = 0; at < bytes.length; at += chunk) {
      if (!parser.write(bytes.subarray(at, at + chunk))) await Promise.race([new Promise((resolve) => parser.once('drain', resolve)), finished]);
      onProgress?.(Math.min(1, (at + chunk) / bytes.length));
    }
    parser.end();
    await finished;
  } catch (error) {
    if (error instanceof CsvError) throw new UnreadableRoster(`${name} is not proper CSV: ${error.message}.`);
    throw error;
  }
  return { cells, format: `CSV, ${delimiters.get(mark) ?? `"${mark}"`}` };
}

function decode(content: Buffer, name: string): string {
  if (content[0] === 0xff && content[1] === 0xfe) return new TextDecoder('utf-16le').decode(content);
  if (content[0] === 0xfe && content[1] === 0xff) return new TextDecoder('utf-16be').decode(content);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch {
    throw new UnreadableRoster(
      `${name} is not in UTF-8 (see line ${lineThatIsNotUtf8(content)}), and which letters it means cannot be known: save it again as "CSV UTF-8", or as .xlsx.`,
    );
  }
}

function lineThatIsNotUtf8(content: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let from = 0;
  for (let line = 1; from <= content.length; line += 1) {
    const end = content.indexOf(0x0a, from);
    const until = end < 0 ? content.length : end;
    try {
      decoder.decode(content.subarray(from, until));
    } catch {
      return line;
    }
    from = until + 1;
  }
  return 1;
}

/** The delimiter that cuts the first rows into the most cells, alike in number; a comma where none does. */
function detectDelimiter(text: string): string {
  let best = { mark: ',', score: 0 };
  for (const mark of delimiters.keys()) {
    const widths = firstWidths(text, mark);
    const usual = [...widths].sort((a, b) => a - b)[Math.floor(widths.length / 2)] ?? 1;
    const alike = widths.filter((width) => width === usual).length / Math.max(1, widths.length);
    const score = usual > 1 ? usual * alike : 0;
    if (score > best.score) best = { mark, score };
  }
  return best.mark;
}

function firstWidths(text: string, delimiter: string): number[] {
  try {
    const records = parseSync(text.slice(0, 200_000), { ...lenient, delimiter, to: 50 }) as string[][];
    return records.filter((record) => record.some((cell) => cell.trim() !== '')).map((record) => record.length);
  } catch {
    return [];
  }
}
