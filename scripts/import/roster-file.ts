import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { readCsv } from './csv.ts';
import { UnreadableRoster, type Cell, type ReadOptions } from './table.ts';
import { readXlsx } from './xlsx.ts';

/** A roster as it stands in its file. */
export type Roster = {
  headers: string[];
  rows: Cell[][];
  /** The number of the first row below the headers, counted as a spreadsheet counts. */
  firstRow: number;
  /** How the file was read, for people: "CSV, semicolons". */
  format: string;
};

const largest = 50 * 1024 * 1024;

/**
 * Reads a roster from a CSV or XLSX file; the content decides which, not the name.
 *
 * @throws {UnreadableRoster} when the file is missing, too large, of another kind, or not UTF-8
 */
export async function readRoster(path: string, options: ReadOptions = {}): Promise<Roster> {
  const name = basename(path);
  const found = await stat(path).catch(() => {
    throw new UnreadableRoster(`There is no file ${path}.`);
  });
  if (found.isDirectory()) throw new UnreadableRoster(`${path} is a folder, not a file.`);
  if (found.size > largest) throw new UnreadableRoster(`${name} is larger than 50 MB: that is no roster of one community.`);
  const content = await readFile(path).catch((error: Error) => {
    throw new UnreadableRoster(`${name} cannot be read: ${error.message}.`);
  });
  if (startsWith(content, [0xd0, 0xcf, 0x11, 0xe0])) {
    throw new UnreadableRoster(`${name} is a workbook of the old kind (.xls): save it as .xlsx, or as CSV in UTF-8.`);
  }
  const isWorkbook = startsWith(content, [0x50, 0x4b, 0x03, 0x04]);
  const { cells, format } = isWorkbook ? await readXlsx(content, name, options) : await readCsv(content, name, options);
  // A workbook keeps a text once, however many cells show it.
  if (lengthOf(cells) > largest) throw new UnreadableRoster(`${name} holds more than 50 MB of text: that is no roster of one community.`);
  return { ...splitHeaders(cells, name, options.headerRow), format };
}

function splitHeaders(cells: Cell[][], name: string, headerRow?: number): Omit<Roster, 'format'> {
  const wanted = headerRow === undefined ? cells.findIndex((row) => row.filter(isFilled).length >= 2) : headerRow - 1;
  const index = wanted >= 0 ? wanted : cells.findIndex((row) => row.some(isFilled));
  const head = cells[index];
  if (!head) throw new UnreadableRoster(headerRow === undefined ? `${name} is empty.` : `${name} has no row ${headerRow}.`);
  const headers = head.slice(0, head.findLastIndex(isFilled) + 1).map((cell) => (cell === null ? '' : String(cell)));
  if (headers.length === 0) throw new UnreadableRoster(`Row ${index + 1} of ${name}, which should hold the headers, is empty.`);
  const rows = cells.slice(index + 1).map((row) => row.slice(0, row.findLastIndex(isFilled) + 1));
  // Spreadsheets export blank rows by the thousand where a format once reached.
  return { headers, rows: rows.slice(0, rows.findLastIndex((row) => row.length > 0) + 1), firstRow: index + 2 };
}

function lengthOf(cells: Cell[][]): number {
  let length = 0;
  for (const row of cells) for (const cell of row) if (typeof cell === 'string') length += cell.length;
  return length;
}

function isFilled(cell: Cell): boolean {
  return cell !== null && (typeof cell !== 'string' || cell.trim() !== '');
}

function startsWith(content: Buffer, bytes: number[]): boolean {
  return bytes.every((byte, index) => content[index] === byte);
}
