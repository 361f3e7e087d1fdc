import { unzipSync, zipSync } from 'fflate';
import { readSheet, SheetNotFoundError } from 'read-excel-file/node';
import { prepareSheet, stylesInPercent } from './xlsx-sheet.ts';
import { UnreadableRoster, type Cell, type ReadOptions, type Table } from './table.ts';

// A zip of a few kilobytes can hold gigabytes of blanks.
const largestUnpacked = 200 * 1024 * 1024;
// The library makes a cell of every place up to the last: up to the last corner of a sheet they are 17 thousand million.
const mostCells = 20_000_000;

/**
 * Reads a sheet of an Excel workbook. Dates become ISO days; numbers stay numbers, without the noise of binary fractions, so that
 * nobody has to guess what their decimal mark means; what is shown in percent becomes a text with its sign. A formula that failed is
 * the text that the spreadsheet shows, #REF! say, and one that was never worked out is #CALC!.
 *
 * @throws {UnreadableRoster} when the file is no workbook, has no such sheet, or unpacks to more than any roster
 */
export async function readXlsx(file: Buffer, name: string, { sheet, onProgress }: ReadOptions): Promise<Table> {
  const { content, unread } = prepare(file, name);
  const rows = await readSheet(content, sheet ?? 1).catch((error: Error) => {
    if (error instanceof SheetNotFoundError) {
      const { sheets } = error as SheetNotFoundError & { sheets: string[] };
      throw new UnreadableRoster(sheets.length === 0 ? `${name} has no sheets.` : `${name} has no sheet ${sheet}. Its sheets are: ${sheets.join(', ')}.`);
    }
    const left = [...unread].find(([path]) => error.message.includes(path));
    throw left ? new UnreadableRoster(`${name} ${left[1]}`) : noWorkbook(name, error);
  });
  onProgress?.(1);
  return { cells: rows.map((row) => row.map(toCell)), format: sheet === undefined ? 'Excel, first sheet' : `Excel, sheet ${sheet}` };
}

/** The workbook with what the library would read otherwise than a spreadsheet shows it, and without sheets that are too large for it. */
function prepare(file: Buffer, name: string): { content: Buffer; unread: Map<string, string> } {
  const decoder = new TextDecoder();
  const parts = unpack(file, name);
  const styles = Object.keys(parts).find((path) => path.endsWith('styles.xml'));
  const inPercent = stylesInPercent(styles === undefined ? '' : decoder.decode(parts[styles]));
  const unread = new Map<string, string>();
  for (const [path, part] of Object.entries(parts)) {
    const xml = decoder.decode(part);
    if (/<(?:\w+:)?sheetData\b/.test(xml)) {
      const sheet = prepareSheet(xml, inPercent);
      if (sheet.lastRow * sheet.lastColumn <= mostCells) parts[path] = Buffer.from(sheet.xml);
      else {
        delete parts[path];
        unread.set(path, Number.isFinite(sheet.lastRow)
          ? `reaches to row ${sheet.lastRow} and column ${sheet.lastColumn}: that is no roster of one community. Remove what stands far from the list.`
          : 'has a cell that does not say where it stands: save it again as .xlsx, or as CSV in UTF-8.');
      }
    } else if (path === 'xl/workbook.xml') {
      // LibreOffice writes what Excel writes as 1.
      parts[path] = Buffer.from(xml.replace(/(\sdate1904\s*=\s*)(?:"true"|'true')/, '$1"1"'));
    }
  }
  return { content: Buffer.from(zipSync(parts, { level: 0 })), unread };
}

function unpack(file: Buffer, name: string): Record<string, Uint8Array> {
  let unpacked = 0;
  try {
    return unzipSync(file, {
      filter: (part) => {
        if (!/\.xml(\.rels)?$/.test(part.name)) return false;
        unpacked += Math.max(part.size, part.originalSize);
        if (unpacked > largestUnpacked) throw new UnreadableRoster(`${name} is larger than 200 MB when it is unpacked: that is no roster of one community.`);
        return true;
      },
    });
  } catch (error) {
    throw error instanceof UnreadableRoster ? error : noWorkbook(name, error as Error);
  }
}

function noWorkbook(name: string, { message }: Error): UnreadableRoster {
  return new UnreadableRoster(`${name} cannot be read as an Excel workbook (${message.replace(/\.$/, '')}): save it again as .xlsx, or as CSV in UTF-8.`);
}

// The library's types say DateConstructor where it hands out a Date.
function toCell(cell: unknown): Cell {
  // A day beyond the calendar is shown so.
  if (cell instanceof Date) return Number.isNaN(cell.getTime()) ? '#####' : cell.toISOString().slice(0, 10);
  // 15 digits are what Excel itself keeps: 0.1 + 0.2 is 0.3 there.
  if (typeof cell === 'number') return Number.isFinite(cell) ? Number(cell.toPrecision(15)) : String(cell);
  // What JSON cannot carry to the database becomes a character that the import refuses, naming the cell.
  if (typeof cell === 'string') return cell.replace(/[\0\ud800-\udfff]/gu, '\u001a');
  return typeof cell === 'boolean' ? cell : null;
}
