import { unzipSync, zipSync } from 'fflate';
import readWorkbook, { readSheet, SheetNotFoundError } from 'read-excel-file/node';
import { UnreadableRoster, type Cell, type ReadOptions, type Table } from './table.ts';

/**
 * Reads a sheet of an Excel workbook. Dates become ISO days; numbers stay numbers, without the noise of binary fractions, so that
 * nobody has to guess what their decimal mark means. A formula that failed is the text that the spreadsheet shows, #REF! say.
 *
 * @throws {UnreadableRoster} when the file is no workbook or has no such sheet
 */
export async function readXlsx(file: Buffer, name: string, { sheet, onProgress }: ReadOptions): Promise<Table> {
  const content = withFailuresAsTexts(file);
  const rows = await readSheet(content, sheet ?? 1).catch(async (error: unknown) => {
    if (error instanceof SheetNotFoundError) {
      const sheets = (await readWorkbook(content)).map((found) => found.sheet).join(', ');
      throw new UnreadableRoster(`${name} has no sheet ${sheet}. Its sheets are: ${sheets}.`);
    }
    throw new UnreadableRoster(`${name} cannot be read as an Excel workbook (${(error as Error).message.replace(/\.$/, '')}): save it again as .xlsx, or as CSV in UTF-8.`);
  });
  onProgress?.(1);
  return { cells: rows.map((row) => row.map(toCell)), format: sheet === undefined ? 'Excel, first sheet' : `Excel, sheet ${sheet}` };
}

/** The library takes a formula that failed for a blank cell, which would go unnoticed: makes texts of them. */
function withFailuresAsTexts(content: Buffer): Buffer {
  const decoder = new TextDecoder();
  try {
    const parts = unzipSync(content);
    for (const [path, part] of Object.entries(parts)) {
      if (!/^xl\/worksheets\/[^/]+\.xml$/.test(path)) continue;
      parts[path] = Buffer.from(decoder.decode(part).replace(/(<c\b[^>]*\bt=)"e"/g, '$1"str"'));
    }
    return Buffer.from(zipSync(parts, { level: 0 }));
  } catch {
    // The library says what is wrong with it.
    return content;
  }
}

// The library's types say DateConstructor where it hands out a Date.
function toCell(cell: unknown): Cell {
  // A day beyond the calendar is shown so.
  if (cell instanceof Date) return Number.isNaN(cell.getTime()) ? '#####' : cell.toISOString().slice(0, 10);
  // 15 digits are what Excel itself keeps: 0.1 + 0.2 is 0.3 there.
  if (typeof cell === 'number') return Number.isFinite(cell) ? Number(cell.toPrecision(15)) : String(cell);
  return typeof cell === 'string' || typeof cell === 'boolean' ? cell : null;
}
