import readWorkbook, { readSheet, SheetNotFoundError } from 'read-excel-file/node';
import { UnreadableRoster, type Cell, type ReadOptions, type Table } from './table.ts';

/**
 * Reads a sheet of an Excel workbook. Dates become ISO days; numbers stay numbers, without the noise of binary fractions, so that
 * nobody has to guess what their decimal mark means.
 *
 * @throws {UnreadableRoster} when the file is no workbook or has no such sheet
 */
export async function readXlsx(content: Buffer, name: string, { sheet, onProgress }: ReadOptions): Promise<Table> {
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

// The library's types say DateConstructor where it hands out a Date.
function toCell(cell: unknown): Cell {
  if (cell instanceof Date) return cell.toISOString().slice(0, 10);
  // 15 digits are what Excel itself keeps: 0.1 + 0.2 is 0.3 there.
  if (typeof cell === 'number') return Number(cell.toPrecision(15));
  return typeof cell === 'string' || typeof cell === 'boolean' ? cell : null;
}
